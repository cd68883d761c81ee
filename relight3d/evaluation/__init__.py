"""Room 5c: how good an asset is, from frames and ground truth alone.

`evaluate` scores frames (`sources`: an asset that is drawn, or `folder_frames`) under protocols:
`protocol` says what one is, `protocols` has those of the field. `compared` makes a frame and its
truth comparable, `alignment` finds scales, `tasks` which view is scored how; `picture_scores` and
`map_scores` collect. One module each for the measures: `metrics` (decibels, angles), `similarity`
(SSIM by convention), `flip`, `perceptual` (LPIPS), `materials`, `geometry`, `environment_error`,
`shadow_leak`; `statistics` says how sure a mean is, and `checks` lets no NaN pass. `report` is the
page of a run. Ground truth never leaves this room.
"""

"""Room 5c: how good an asset is, from frames and ground truth alone.

`metrics` has the formulas, `alignment` the official TensoIR albedo rule, `score` the protocol,
`report` the page that shows it. One module each for the other measures: `similarity` (SSIM by
convention), `flip`, `perceptual` (LPIPS), `materials`, `geometry`, `environment_error`,
`shadow_leak`; `statistics` says how sure a mean is, and `checks` lets no NaN pass. Ground truth
never leaves this room.
"""

"""Room 5c: how good an asset is, from frames and ground truth alone.

`metrics` has the formulas, `alignment` the official TensoIR albedo rule, `score` the protocol,
`report` the page that shows it. Ground truth never leaves this room.
"""

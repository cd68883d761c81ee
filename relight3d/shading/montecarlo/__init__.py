"""Light transport by sampling: rays drawn where BRDF and light are strong, weighted without bias.

`sequence` gives random numbers, `samplers` and the lights turn them into directions, `estimator`
combines the strategies. Any tracer that answers `occluded` can be passed in.

Directions [P, S, 3] of P points and S rays each are kept in planes, [3, S, P] in memory: vector
code runs along the points, and sums over a point's rays are sums of rows.
"""

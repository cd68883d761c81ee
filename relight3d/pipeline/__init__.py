"""The only place that knows two rooms: captures become assets, pictures, files and reports here.

`config` holds every setting, `run_folder` the files of one run, `loop` the resumable loop,
`train` the whole flow. Nothing is imported here, so that settings can be read without torch.
"""

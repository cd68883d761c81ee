"""Room 5a: an asset as files other people's tools read. One file per format; `formats` lists them.

Exporters undo the capture's normalisation: what is written stands in the source's own frame.
"""

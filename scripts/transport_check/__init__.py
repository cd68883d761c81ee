"""Our light transport against Mitsuba 3's, on the same triangles, materials, lights and cameras.

`gltf_bsdf` teaches Mitsuba glTF's BRDF, `scene` asks a tracer and our estimator for the pictures
that Mitsuba renders, `cases` lists what is compared.
"""

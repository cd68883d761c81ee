// Real spherical harmonics up to degree 3, the basis of core/sh.py.
#pragma once

namespace relight3d {

constexpr int SH_MAX = 16;
constexpr float SH_C0 = 0.28209479177387814f, SH_C1 = 0.4886025119029199f;
constexpr float SH_C2[] = {1.0925484305920792f, -1.0925484305920792f, 0.31539156525252005f, -1.0925484305920792f,
                           0.5462742152960396f};
constexpr float SH_C3[] = {-0.5900435899266435f, 2.890611442640554f,  -0.4570457994644658f, 0.3731763325901154f,
                           -0.4570457994644658f, 1.445305721320277f, -0.5900435899266435f};

// The (degree + 1)^2 functions at a unit direction.
inline void sh_basis(float x, float y, float z, int degree, float *out) {
  out[0] = SH_C0;
  if (degree < 1) return;
  out[1] = -SH_C1 * y, out[2] = SH_C1 * z, out[3] = -SH_C1 * x;
  if (degree < 2) return;
  float xx = x * x, yy = y * y, zz = z * z;
  out[4] = SH_C2[0] * x * y, out[5] = SH_C2[1] * y * z, out[6] = SH_C2[2] * (2 * zz - xx - yy);
  out[7] = SH_C2[3] * x * z, out[8] = SH_C2[4] * (xx - yy);
  if (degree < 3) return;
  out[9] = SH_C3[0] * y * (3 * xx - yy), out[10] = SH_C3[1] * x * y * z, out[11] = SH_C3[2] * y * (4 * zz - xx - yy);
  out[12] = SH_C3[3] * z * (2 * zz - 3 * xx - 3 * yy), out[13] = SH_C3[4] * x * (4 * zz - xx - yy);
  out[14] = SH_C3[5] * z * (xx - yy), out[15] = SH_C3[6] * x * (xx - 3 * yy);
}

}  // namespace relight3d

// What every function of the C ABI shares: export, and errors as a status with a message.
#pragma once
#include <new>
#include <stdexcept>
#include <string>

#if defined(_WIN32)
#define R3D_EXPORT __declspec(dllexport)
#else
#define R3D_EXPORT __attribute__((visibility("default")))
#endif

// Raised with every change of a function's arguments, here and in library.py.
#define R3D_ABI 4

namespace relight3d {

enum Status { OK = 0, FAILED = 1, NO_MEMORY = 2, REFUSED = 3 };

inline std::string &last_error() {
  thread_local std::string message;
  return message;
}

// Runs f; no exception crosses the C ABI.
template <class F> int guarded(F f) {
  try {
    f();
    return OK;
  } catch (const std::length_error &error) {
    last_error() = error.what();
    return REFUSED;
  } catch (const std::bad_alloc &) {
    last_error() = "out of memory";
    return NO_MEMORY;
  } catch (const std::exception &error) {
    last_error() = error.what();
    return FAILED;
  }
}

}  // namespace relight3d

// SPDX-License-Identifier: Apache-2.0
// Finds the module at its place relative to the program.
#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "bigmodel/core/error.h"
#include "media/image_decoder.h"

namespace bigmodel::app {

bool is_image(std::string_view bytes) noexcept { return bytes.starts_with("\x89PNG\r\n\x1A\n") || bytes.starts_with("\xFF\xD8\xFF"); }

PixelImage decode_image(std::string_view bytes, const std::string& object) {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (program.parent_path() / BIGMODEL_IMAGE_DECODER).lexically_normal();
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* decode = library == nullptr ? nullptr : ::dlsym(library, "bigmodel_decode_image");
  if (decode == nullptr) throw IoError(fmt::format("{}: cannot be loaded: {}", path, ::dlerror()), "install bigmodel whole, with `cmake --install`");
  PixelImage out;
  const std::string fault = reinterpret_cast<ImageDecoder>(decode)(bytes, out);
  if (!fault.empty()) throw FormatError(fmt::format("{}: {}", object, fault));
  return out;
}

}  // namespace bigmodel::app

// SPDX-License-Identifier: Apache-2.0
// Finds the module at its place relative to the program. Never unloaded: its libraries leave handlers for the process's end.
#include <dlfcn.h>
#include <fmt/format.h>

#include <filesystem>

#include "bigmodel/core/error.h"
#include "page_server/page_server.h"

namespace bigmodel::app {

std::unique_ptr<PageServer> load_page_server(PageHandler handler) {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  const std::string path = (program.parent_path() / BIGMODEL_PAGE_SERVER).lexically_normal();
  void* library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  void* make = library == nullptr ? nullptr : ::dlsym(library, "bigmodel_make_page_server");
  if (make == nullptr) throw IoError(fmt::format("{}: cannot be loaded: {}", path, ::dlerror()), "install bigmodel whole, with `cmake --install`");
  return std::unique_ptr<PageServer>(reinterpret_cast<PageServer* (*)(PageHandler)>(make)(std::move(handler)));
}

}  // namespace bigmodel::app

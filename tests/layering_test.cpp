// SPDX-License-Identifier: Apache-2.0
// Holds the shape of the house: which folder may include which, which third-party headers may appear where, how long a
// file may be, and what library code never does. Every rule is also shown a text that breaks it.
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "support/shared_folder.h"

namespace bigmodel::test {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostLines = 800;

struct SourceText {
  std::string path;  ///< from the repository's root, with '/'
  std::string text;
};

/// Folder of lib/bigmodel -> folders it may include besides itself. core includes nothing.
const std::map<std::string, std::set<std::string>>& arrows() {
  static const std::map<std::string, std::set<std::string>> kArrows = {
      {"core", {}},
      {"io", {"core"}},
      {"spec", {"core"}},
      {"device", {"core"}},
      {"architectures", {"core"}},
      {"model", {"spec", "io", "core"}},
      {"checkpoint", {"io", "core"}},
      {"tokenizer", {"io", "core"}},
      {"hub", {"io", "core"}},
      {"ops", {"device", "core"}},
      {"planning", {"model", "core"}},
      {"engine", {"planning", "checkpoint", "ops", "model", "device", "io", "core"}},
  };
  return kArrows;
}

bool is_header(std::string_view path) { return path.ends_with(".h"); }
bool is_library(std::string_view path) { return path.starts_with("lib/bigmodel/"); }

/// "core" of "lib/bigmodel/core/dtype.h"; empty elsewhere.
std::string library_folder(std::string_view path) {
  constexpr std::string_view kRoot = "lib/bigmodel/";
  if (!path.starts_with(kRoot)) return {};
  const std::string_view rest = path.substr(kRoot.size());
  return std::string(rest.substr(0, rest.find('/')));
}

std::vector<std::string> includes_of(const std::string& text) {
  static const std::regex kInclude(R"re(^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"])re", std::regex::multiline);
  std::vector<std::string> out;
  for (std::sregex_iterator it(text.begin(), text.end(), kInclude), end; it != end; ++it) out.push_back((*it)[1]);
  return out;
}

/// The text with comments and string literals blanked, so that words in them count for nothing.
std::string code_of(const std::string& text) {
  std::string out;
  for (std::size_t i = 0; i < text.size();) {
    const std::string_view rest = std::string_view(text).substr(i);
    if (rest.starts_with("//")) {
      i += std::min(rest.find('\n'), rest.size());
    } else if (rest.starts_with("/*")) {
      const std::size_t end = rest.find("*/", 2);
      i += end == std::string_view::npos ? rest.size() : end + 2;
    } else if (rest.starts_with("R\"")) {
      const std::size_t open = rest.find('(');
      const std::string close =
          open == std::string_view::npos ? "\"" : ")" + std::string(rest.substr(2, open - 2)) + "\"";
      const std::size_t end = rest.find(close, open == std::string_view::npos ? 2 : open);
      i += end == std::string_view::npos ? rest.size() : end + close.size();
      out += "\"\"";
    } else if (rest.front() == '"') {
      std::size_t k = 1;
      while (k < rest.size() && rest[k] != '"') k += rest[k] == '\\' ? 2 : 1;
      i += std::min(k + 1, rest.size());
      out += "\"\"";
    } else {
      out += text[i++];
    }
  }
  return out;
}

std::vector<std::string> broken_arrows(const SourceText& source) {
  const std::string folder = library_folder(source.path);
  if (folder.empty() || source.path.find('/', std::string("lib/bigmodel/").size()) == std::string::npos) return {};
  const auto allowed = arrows().find(folder);
  if (allowed == arrows().end()) return {fmt::format("{}: the folder {} has no arrows", source.path, folder)};
  std::vector<std::string> out;
  for (const std::string& include : includes_of(source.text)) {
    if (!include.starts_with("bigmodel/")) {
      if (fs::path(include).extension() == ".h" && include.find('/') != std::string::npos &&
          fs::exists(source_root() / "apps" / "bigmodel" / include)) {
        out.push_back(fmt::format("{}: includes {} of the program", source.path, include));
      }
      continue;
    }
    const std::string target = library_folder("lib/" + include);
    if (target != folder && !allowed->second.contains(target)) {
      out.push_back(fmt::format("{}: {} may not include {}", source.path, folder, include));
    }
  }
  return out;
}

struct Wall {
  std::string what;
  std::regex include;
  std::regex may;  ///< paths that may
};

const std::vector<Wall>& walls() {
  static const std::vector<Wall> kWalls = {
      {"CLI11", std::regex("^CLI/.*"), std::regex("^apps/bigmodel/cli/parse\\.cpp$")},
      {"nlohmann/json", std::regex("^nlohmann/(?!json_fwd).*"), std::regex("^((lib|apps|examples)/.*\\.cpp|tests/.*)$")},
      {"nlohmann/json_fwd", std::regex("^nlohmann/json_fwd.*"), std::regex("^(lib|apps|tests)/.*")},
      {"CUDA", std::regex("^(cuda|cublas|nvml|cooperative_groups|cub/).*"),
       std::regex("^lib/bigmodel/(device/cuda/.*|.*\\.(cu|cuh)|ops/cuda/kernel_language\\.h)$")},
      {"libcurl", std::regex("^curl/.*"), std::regex("^(lib/bigmodel|tests)/hub/.*\\.cpp$")},
      {"Oniguruma", std::regex("^onig.*"), std::regex("^(lib/bigmodel|tests)/tokenizer/.*\\.cpp$")},
      {"utf8proc", std::regex("^utf8proc.*"),
       std::regex("^(lib/bigmodel/tokenizer|tests/tokenizer|apps/bigmodel/render)/.*\\.cpp$")},
      {"oneDNN", std::regex("^(oneapi/dnnl/|dnnl).*"), std::regex("^lib/bigmodel/ops/.*_cpu\\.cpp$")},
      {"liblzma", std::regex("^lzma.*"), std::regex("^tests/.*")},
      {"cpp-httplib", std::regex("^httplib.*"), std::regex("^apps/bigmodel/page_server/page_server\\.cpp$")},
      {"libpng", std::regex("^png.*"), std::regex("^apps/bigmodel/media/image_decoder\\.cpp$")},
      {"libjpeg", std::regex("^j(peglib|error|morecfg).*"), std::regex("^apps/bigmodel/media/image_decoder\\.cpp$")},
      {"doctest", std::regex("^doctest/.*"), std::regex("^tests/.*")},
      {"zlib", std::regex("^zlib\\.h$"), std::regex("^(lib|tests)/.*\\.cpp$")},
  };
  return kWalls;
}

std::vector<std::string> broken_walls(const SourceText& source) {
  std::vector<std::string> out;
  for (const std::string& include : includes_of(source.text)) {
    for (const Wall& wall : walls()) {
      if (std::regex_match(include, wall.include) && !std::regex_match(source.path, wall.may)) {
        out.push_back(fmt::format("{}: {} may not be included here (<{}>)", source.path, wall.what, include));
      }
    }
  }
  return out;
}

std::vector<std::string> too_long(const SourceText& source) {
  const auto lines = static_cast<std::size_t>(std::ranges::count(source.text, '\n'));
  if (lines <= kMostLines) return {};
  return {fmt::format("{}: {} lines, at most {} are allowed", source.path, lines, kMostLines)};
}

std::vector<std::string> forbidden_calls(const SourceText& source) {
  if (!is_library(source.path)) return {};
  static const std::regex kForbidden(
      R"(\bstd::(cout|cerr|clog)\b|(^|[^_\w.>])(printf|puts|putchar|perror|fmt::print|exit|_exit|quick_exit|abort|terminate|getenv|secure_getenv|setenv|system)\s*\()"
      R"(|\bfmt::print\s*\(|\bstd::(exit|abort|getenv|terminate|quick_exit|system|printf|puts)\s*\(|\bfprintf\s*\(|\benviron\b)",
      std::regex::multiline);
  const std::string code = code_of(source.text);
  std::vector<std::string> out;
  for (std::sregex_iterator it(code.begin(), code.end(), kForbidden), end; it != end; ++it) {
    out.push_back(fmt::format("{}: library code does not print, exit or read the environment: {}", source.path,
                              it->str()));
  }
  return out;
}

std::vector<std::string> missing_head(const SourceText& source) {
  if (source.text.starts_with("// SPDX-License-Identifier: Apache-2.0\n")) return {};
  return {fmt::format("{}: the first line is not the licence's", source.path)};
}

std::vector<std::string> drawer_name(const SourceText& source) {
  static const std::regex kDrawer(R"((^|.*[/_])(utils?|common|helpers?|misc)([_.][^/]*|/.*))");
  if (!std::regex_match(source.path, kDrawer)) return {};
  return {fmt::format("{}: name the concept, not a drawer", source.path)};
}

/// Headers that show nlohmann's types stay inside: a program that uses the installed library may lack that package.
std::vector<std::string> leaking_json(const SourceText& source) {
  if (!is_library(source.path) || !is_header(source.path)) return {};
  const std::vector<std::string> includes = includes_of(source.text);
  const bool internal = std::ranges::find(includes, "nlohmann/json_fwd.hpp") != includes.end();
  std::vector<std::string> out;
  for (const std::string& include : includes) {
    if (internal || include != "bigmodel/io/json.h") continue;
    out.push_back(fmt::format("{}: a header may not include {}", source.path, include));
  }
  return out;
}

std::vector<SourceText> all_sources() {
  std::vector<SourceText> out;
  for (const char* top : {"lib", "apps", "tests", "examples"}) {
    const fs::path folder = source_root() / top;
    if (!fs::exists(folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp" && extension != ".cu" && extension != ".cuh")) continue;
      std::ifstream in(entry.path(), std::ios::binary);
      std::ostringstream text;
      text << in.rdbuf();
      out.push_back({fs::relative(entry.path(), source_root()).generic_string(), text.str()});
    }
  }
  return out;
}

using Rule = std::vector<std::string> (*)(const SourceText&);

void check_all(Rule rule) {
  for (const SourceText& source : all_sources()) {
    for (const std::string& finding : rule(source)) FAIL_CHECK(finding);
  }
}

}  // namespace

TEST_SUITE("layering") {
  TEST_CASE("the sources are found") { CHECK(all_sources().size() > 50); }

  TEST_CASE("folders include only along the arrows") {
    check_all(broken_arrows);
    CHECK(broken_arrows({"lib/bigmodel/core/x.h", "#include \"bigmodel/io/json.h\"\n"}).size() == 1);
    CHECK(broken_arrows({"lib/bigmodel/model/x.cpp", "#include \"bigmodel/planning/y.h\"\n"}).size() == 1);
    CHECK(broken_arrows({"lib/bigmodel/io/x.cpp", "  # include \"bigmodel/spec/value.h\"\n"}).size() == 1);
    CHECK(broken_arrows({"lib/bigmodel/core/x.cpp", "#include \"render/output.h\"\n"}).size() == 1);
    CHECK(broken_arrows({"lib/bigmodel/drawer/x.cpp", ""}).size() == 1);
    CHECK(broken_arrows({"lib/bigmodel/planning/x.cpp", "#include \"bigmodel/model/y.h\"\n"}).empty());
  }

  TEST_CASE("third parties stay behind their walls") {
    check_all(broken_walls);
    CHECK(broken_walls({"apps/bigmodel/commands/x.cpp", "#include <CLI/CLI.hpp>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/io/x.h", "#include <nlohmann/json.hpp>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/ops/x.cpp", "#include <cuda_runtime.h>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/model/x.cpp", "#include <curl/curl.h>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/hub/x.h", "#include <curl/curl.h>\n"}).size() == 1);
    CHECK(broken_walls({"apps/bigmodel/cli/x.cpp", "#include <utf8proc.h>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/hub/x.cpp", "#include <httplib.h>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/core/x.cpp", "#include <doctest/doctest.h>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/io/x.cpp", "#include <nlohmann/json.hpp>\n"}).empty());
    CHECK(broken_walls({"lib/bigmodel/ops/cuda/gemm_cuda.cu", "#include <cuda_runtime.h>\n"}).empty());
    CHECK(broken_walls({"lib/bigmodel/ops/cuda/gemm_kernels.cuh", "#include <cuda_bf16.h>\n"}).empty());
    CHECK(broken_walls({"lib/bigmodel/device/cuda/cuda_stream.h", "#include <cuda_runtime_api.h>\n"}).empty());
    CHECK(broken_walls({"lib/bigmodel/ops/cuda/equip_cuda.cpp", "#include <cublasLt.h>\n"}).size() == 1);
    CHECK(broken_walls({"lib/bigmodel/engine/x.cpp", "#include <cuda.h>\n"}).size() == 1);
  }

  TEST_CASE("no file is longer than 800 lines") {
    check_all(too_long);
    CHECK(too_long({"lib/bigmodel/core/x.cpp", std::string(801, '\n')}).size() == 1);
    CHECK(too_long({"lib/bigmodel/core/x.cpp", std::string(800, '\n')}).empty());
  }

  TEST_CASE("the library does not print, exit or read the environment") {
    check_all(forbidden_calls);
    for (const char* text : {"std::cout << 1;", "std::cerr << 1;", "printf(\"x\");", "std::exit(1);", "exit(1);",
                             "abort();", "std::getenv(\"HOME\");", "getenv(\"HOME\");", "fmt::print(\"x\");",
                             "fprintf(stderr, \"x\");", "char** e = environ;"}) {
      CAPTURE(text);
      CHECK(!forbidden_calls({"lib/bigmodel/core/x.cpp", text}).empty());
    }
    CHECK(forbidden_calls({"lib/bigmodel/core/x.cpp", "// exit(1)\nconst char* s = \"abort()\"; void on_exit_(int);"})
              .empty());
    CHECK(forbidden_calls({"apps/bigmodel/x.cpp", "std::getenv(\"HOME\");"}).empty());
  }

  TEST_CASE("every source starts with its licence") {
    check_all(missing_head);
    CHECK(missing_head({"lib/bigmodel/core/x.cpp", "// x\n"}).size() == 1);
  }

  TEST_CASE("no file or folder is a drawer") {
    check_all(drawer_name);
    CHECK(drawer_name({"lib/bigmodel/core/util.h", ""}).size() == 1);
    CHECK(drawer_name({"lib/bigmodel/common/x.h", ""}).size() == 1);
    CHECK(drawer_name({"lib/bigmodel/core/string_utils.cpp", ""}).size() == 1);
    CHECK(drawer_name({"lib/bigmodel/core/commonplace.cpp", ""}).empty());
  }

  TEST_CASE("headers that show JSON types are included by .cpp files only") {
    check_all(leaking_json);
    CHECK(leaking_json({"lib/bigmodel/model/x.h", "#include \"bigmodel/io/json.h\"\n"}).size() == 1);
    CHECK(leaking_json({"lib/bigmodel/model/x.cpp", "#include \"bigmodel/io/json.h\"\n"}).empty());
  }
}

}  // namespace bigmodel::test

// SPDX-License-Identifier: Apache-2.0
#include "support/kernel_symbols.h"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>

// Known names at known places: what the table says of them tells where everything else of its kind is.
extern "C" {
thread_local char bigmodel_emulator_anchor_variable = 0;
void bigmodel_emulator_anchor_function() {}
}

namespace bigmodel::emulator {
namespace {

struct Piece {
  std::uint64_t offset, bytes;   ///< in the program's block of thread-local variables
};

class SymbolTable {
 public:
  SymbolTable() {
    std::ifstream file("/proc/self/exe", std::ios::binary);
    bytes_.assign(std::istreambuf_iterator<char>(file), {});
    if (bytes_.size() < sizeof(Elf64_Ehdr) || std::memcmp(bytes_.data(), ELFMAG, SELFMAG) != 0) return;
    const auto header = at<Elf64_Ehdr>(0);
    for (unsigned i = 0; i < header.e_shnum; ++i) {
      const auto section = at<Elf64_Shdr>(header.e_shoff + i * std::uint64_t{sizeof(Elf64_Shdr)});
      if (section.sh_type != SHT_SYMTAB) continue;
      const auto strings = at<Elf64_Shdr>(header.e_shoff + section.sh_link * std::uint64_t{sizeof(Elf64_Shdr)});
      for (std::uint64_t s = 0; s + sizeof(Elf64_Sym) <= section.sh_size; s += sizeof(Elf64_Sym)) take(at<Elf64_Sym>(section.sh_offset + s), strings.sh_offset);
    }
    bytes_ = {};
  }

  std::vector<Piece> of(const void* kernel) const {
    if (!complete()) return {};
    const auto base = reinterpret_cast<std::uintptr_t>(&bigmodel_emulator_anchor_function) - function_anchor_;
    const auto name = functions_.find(reinterpret_cast<std::uintptr_t>(kernel) - base);
    if (name == functions_.end()) return {};
    // A variable v of the function _Zf is called _ZZfEv.
    const std::string wanted = "_ZZ" + name->second.substr(2) + "E";
    std::vector<Piece> found;
    for (auto v = variables_.lower_bound(wanted); v != variables_.end() && v->first.starts_with(wanted); ++v) found.push_back(v->second);
    return found;
  }

  std::uint64_t variable_anchor() const { return variable_anchor_; }

 private:
  template <typename T>
  T at(std::uint64_t offset) const {
    T value{};
    if (offset + sizeof(T) <= bytes_.size()) std::memcpy(&value, bytes_.data() + offset, sizeof(T));
    return value;
  }
  bool complete() const { return function_anchor_ != 0 && has_variable_anchor_; }

  void take(const Elf64_Sym& symbol, std::uint64_t strings) {
    if (strings + symbol.st_name >= bytes_.size()) return;
    const std::string_view name(bytes_.data() + strings + symbol.st_name);
    const auto type = ELF64_ST_TYPE(symbol.st_info);
    if (name == "bigmodel_emulator_anchor_function") function_anchor_ = symbol.st_value;
    if (name == "bigmodel_emulator_anchor_variable") {
      variable_anchor_ = symbol.st_value;
      has_variable_anchor_ = true;
    }
    if (type == STT_TLS && name.starts_with("_ZZ") && symbol.st_size != 0) variables_.emplace(name, Piece{symbol.st_value, symbol.st_size});
    if (type == STT_FUNC && name.starts_with("_Z") && symbol.st_value != 0) functions_.emplace(symbol.st_value, name);
  }

  std::vector<char> bytes_;
  std::unordered_map<std::uint64_t, std::string> functions_;
  std::map<std::string, Piece> variables_;
  std::uint64_t function_anchor_ = 0, variable_anchor_ = 0;
  bool has_variable_anchor_ = false;
};

}  // namespace

std::vector<std::span<std::byte>> shared_arrays(const void* kernel) {
  static const SymbolTable table;
  static std::mutex mutex;
  static std::unordered_map<const void*, std::vector<Piece>> known;
  std::vector<Piece> pieces;
  {
    const std::lock_guard lock(mutex);
    auto [it, added] = known.try_emplace(kernel);
    if (added) it->second = table.of(kernel);
    pieces = it->second;
  }
  auto* block = reinterpret_cast<std::byte*>(&bigmodel_emulator_anchor_variable) - table.variable_anchor();
  std::vector<std::span<std::byte>> out;
  for (const Piece& p : pieces) out.emplace_back(block + p.offset, p.bytes);
  return out;
}

}  // namespace bigmodel::emulator

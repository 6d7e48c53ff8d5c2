// SPDX-License-Identifier: Apache-2.0
#include "attacks/attack.h"

#include <fmt/format.h>

#include <fstream>

namespace bigmodel::test {

namespace fs = std::filesystem;

std::size_t Attack::size_bytes() const {
  std::size_t sum = 0;
  for (const File& file : files) sum += file.bytes.size();
  return sum;
}

std::vector<Attack> all_attacks() {
  std::vector<Attack> out;
  for (auto* part : {&safetensors_attacks, &zip_attacks, &pickle_attacks, &legacy_attacks, &folder_attacks}) {
    for (Attack& attack : part()) out.push_back(std::move(attack));
  }
  return out;
}

fs::path write_attack(const Attack& attack, const fs::path& folder) {
  for (const Attack::File& file : attack.files) {
    const fs::path path = file.name.empty() ? folder / attack.path : folder / attack.path / file.name;
    fs::create_directories(path.parent_path());
    std::ofstream(path, std::ios::binary) << file.bytes;
  }
  return folder / attack.path;
}

std::string attacks_page() {
  std::string out =
      "# Attacks\n\n"
      "Broken and hostile checkpoints with a verdict each, made by `make_attacks.cpp` and the tables beside it (this page too); tests hold the\n"
      "folder against the generator, and every file against the readers and the program. Those above 16 KiB are made anew for each run.\n"
      "Refused means exit code 6 with one line that says why, within a second and in bounded memory; nothing in a file is ever executed.\n\n"
      "| file | what it tries | verdict |\n|---|---|---|\n";
  for (const Attack& attack : all_attacks()) {
    std::string verdict = attack.accepted ? fmt::format("accepted: {}", attack.words) : fmt::format("refused: \"{}\"", attack.words);
    if (attack.exit_code != 6 && !attack.accepted) verdict += fmt::format(", exit code {}", attack.exit_code);
    out += fmt::format("| {}{} | {} | {} |\n", attack.path, attack.stored() ? "" : fmt::format(" ({} bytes, not stored)", attack.size_bytes()), attack.what, verdict);
  }
  return out;
}

Attack refused(std::string path, std::string bytes, std::string what, std::string words) {
  return {.path = std::move(path), .files = {{"", std::move(bytes)}}, .what = std::move(what), .accepted = false, .words = std::move(words)};
}

Attack accepted(std::string path, std::string bytes, std::string what, std::string why) {
  return {.path = std::move(path), .files = {{"", std::move(bytes)}}, .what = std::move(what), .accepted = true, .words = std::move(why)};
}

}  // namespace bigmodel::test

// SPDX-License-Identifier: Apache-2.0
// Hostile and broken checkpoints, each with its verdict: refused with certain words, or accepted for a reason.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::test {

/// One file, or a small folder, that somebody might hand to a reader.
struct Attack {
  struct File {
    std::string name;  ///< below the attack's own folder; empty: the attack is this file alone
    std::string bytes;
  };
  std::string path;         ///< "safetensors/overlap.safetensors"; a folder where `files` have names
  std::vector<File> files;
  std::string what;         ///< what it tries
  bool accepted = false;
  std::string words;        ///< refused: a part of the message; accepted: why it is harmless
  int exit_code = 6;        ///< of the program, where it is refused

  std::size_t size_bytes() const;
  /// Large ones are made anew for each run; the others lie in the repository.
  bool stored() const { return size_bytes() <= 16384; }
};

/// All of them, always the same bytes.
std::vector<Attack> all_attacks();

std::vector<Attack> safetensors_attacks();
std::vector<Attack> zip_attacks();
std::vector<Attack> pickle_attacks();
std::vector<Attack> legacy_attacks();
std::vector<Attack> folder_attacks();

/// Writes an attack below `folder` and returns the path to hand to a reader.
std::filesystem::path write_attack(const Attack& attack, const std::filesystem::path& folder);

/// The page that lists the attacks with their verdicts.
std::string attacks_page();

/// One attack that is a single file.
Attack refused(std::string path, std::string bytes, std::string what, std::string words);
Attack accepted(std::string path, std::string bytes, std::string what, std::string why);

}  // namespace bigmodel::test

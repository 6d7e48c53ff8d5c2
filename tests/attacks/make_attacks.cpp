// SPDX-License-Identifier: Apache-2.0
// Writes the stored attacks and their page: bigmodel_make_attacks tests/attacks
#include <cstdio>
#include <fstream>

#include "attacks/attack.h"

int main(int argc, char** argv) {
  using namespace bigmodel::test;
  if (argc != 2) {
    std::fputs("usage: bigmodel_make_attacks FOLDER\n", stderr);
    return 2;
  }
  const std::filesystem::path folder = argv[1];
  std::filesystem::remove_all(folder / "files");
  for (const Attack& attack : all_attacks()) {
    if (attack.stored()) write_attack(attack, folder / "files");
  }
  std::ofstream(folder / "README.md") << attacks_page();
  return 0;
}

// SPDX-License-Identifier: Apache-2.0
// One case of the run goldens: loads the model folder and says where its answers differ from the reference's.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace bigmodel::test {

struct CaseResult {
  std::string refused;                  ///< the engine's reason for not running the type; empty where it ran
  std::vector<std::string> faults;      ///< what differs; empty: equal
};

/// A decoder: prompt logits, hidden states, greedy ids with and without cache, a padded batch, and bfloat16, each within the record's
/// tolerance; then everything again with all weights on disk, bit for bit.
CaseResult check_decoder(const std::filesystem::path& folder);

/// An encoder-decoder: the encoder's states, teacher-forced logits, greedy ids with and without cache, a padded batch, bfloat16, and from disk.
CaseResult check_seq2seq(const std::filesystem::path& folder);

/// A model that does not generate, by its named inputs: every output within the tolerance (rows of tokens only where the mask is 1), weights in RAM and on
/// disk, and bfloat16.
CaseResult check_inputs(const std::filesystem::path& folder);

/// A model of text and images: logits, greedy ids with and without cache, the same from disk bit for bit, and bfloat16.
CaseResult check_vision_language(const std::filesystem::path& folder);

/// Folders of a set of cases, sorted: those with an expected.json whose kind is `kind`.
std::vector<std::filesystem::path> cases_of_kind(const std::filesystem::path& set, const std::string& kind);

}  // namespace bigmodel::test

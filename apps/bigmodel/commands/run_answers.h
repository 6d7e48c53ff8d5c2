// SPDX-License-Identifier: Apache-2.0
// What the outputs of a model that does not generate mean: fills of masks, classes, labelled tokens, spans; else summaries of tensors.
// The choices and scores are those of transformers' pipelines.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bigmodel/engine/infer.h"
#include "bigmodel/tokenizer/tokenizer.h"
#include "commands/model_argument.h"

namespace bigmodel::app {

/// One of the candidates. What does not apply is absent.
struct Answer {
  std::string label;                          ///< the token, class or span
  double score = 0;                           ///< a probability; of regressions the value itself
  std::optional<std::int64_t> token;          ///< its id; of labelled tokens their place in the row
  std::optional<std::int64_t> start, end;     ///< in code points of the text that it is part of
  std::string word;                           ///< of labelled tokens: the text that carries the label
};

/// Candidates for one question, best first (labelled tokens in their order).
struct Answers {
  enum class Kind { fills, classes, tokens, spans };
  Kind kind = Kind::classes;
  std::size_t row = 0;
  std::optional<std::int64_t> position;       ///< fills: of the mask
  std::vector<Answer> candidates;
};

/// Where the outputs come from; empty without text.
struct AnswerSource {
  const tokenizer::Tokenizer* tokenizer = nullptr;
  std::vector<tokenizer::Encoding> encodings;
  std::vector<std::string> texts;
  std::optional<std::string> pair;
  Tensor input_ids;
};

/// By the class's last words (ForMaskedLM, ForSequenceClassification, ...); empty where nothing is known of what the outputs mean.
std::vector<Answers> answers_of(const NamedTensors& outputs, const std::string& class_name, const FoundModel& model, const AnswerSource& source);

nlohmann::ordered_json answers_json(const std::vector<Answers>& answers);
/// `0.93  label`, a line for each candidate, with a head where there are several questions.
std::vector<std::string> answer_lines(const std::vector<Answers>& answers);
/// `last_hidden_state float32 [1, 7, 32]  norm 12.3  0.12 -0.5 ...`.
std::string summary_line(const std::string& name, const Tensor& tensor);

}  // namespace bigmodel::app

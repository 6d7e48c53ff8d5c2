// SPDX-License-Identifier: Apache-2.0
#include "bigmodel/core/ggml_type.h"

#include <algorithm>

namespace bigmodel {
namespace {

constexpr GgmlType kTypes[] = {
    {0, "f32", 4, 1},         {1, "f16", 2, 1},         {2, "q4_0", 18, 32},      {3, "q4_1", 20, 32},      {6, "q5_0", 22, 32},
    {7, "q5_1", 24, 32},      {8, "q8_0", 34, 32},      {9, "q8_1", 36, 32},      {10, "q2_k", 84, 256},    {11, "q3_k", 110, 256},
    {12, "q4_k", 144, 256},   {13, "q5_k", 176, 256},   {14, "q6_k", 210, 256},   {15, "q8_k", 292, 256},   {16, "iq2_xxs", 66, 256},
    {17, "iq2_xs", 74, 256},  {18, "iq3_xxs", 98, 256}, {19, "iq1_s", 50, 256},   {20, "iq4_nl", 18, 32},   {21, "iq3_s", 110, 256},
    {22, "iq2_s", 82, 256},   {23, "iq4_xs", 136, 256}, {24, "i8", 1, 1},         {25, "i16", 2, 1},        {26, "i32", 4, 1},
    {27, "i64", 8, 1},        {28, "f64", 8, 1},        {29, "iq1_m", 56, 256},   {30, "bf16", 2, 1},       {34, "tq1_0", 54, 256},
    {35, "tq2_0", 66, 256},   {39, "mxfp4", 17, 32},    {40, "nvfp4", 36, 64},    {41, "q1_0", 18, 128},    {42, "q2_0", 18, 64},
};

template <typename Key>
std::optional<GgmlType> found(const Key& key, Key GgmlType::*member) {
  const auto it = std::ranges::find(kTypes, key, member);
  return it == std::end(kTypes) ? std::nullopt : std::optional(*it);
}

}  // namespace

std::span<const GgmlType> ggml_types() { return kTypes; }

std::optional<GgmlType> find_ggml_type(std::uint32_t id) { return found(id, &GgmlType::id); }
std::optional<GgmlType> find_ggml_type(std::string_view name) { return found(name, &GgmlType::name); }

}  // namespace bigmodel

// SPDX-License-Identifier: Apache-2.0
// Pickles in pieces, so that a hostile one reads like what it does.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace bigmodel::test::pickle {

std::string text(std::string_view value);
std::string whole(std::int64_t value);
std::string tuple(const std::vector<std::string>& items);
std::string numbers(const std::vector<std::int64_t>& values);
std::string global(std::string_view module, std::string_view name);
std::string call(const std::string& callee, const std::vector<std::string>& arguments);
std::string storage(std::string_view type, std::string_view key, std::int64_t count);
/// _rebuild_tensor_v2 with its six arguments, and more.
std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides,
                   const std::vector<std::string>& more = {});
std::string ordered_dict();
/// {key: value, ...}
std::string dict(const std::vector<std::pair<std::string, std::string>>& pairs);
/// Protocol 2, the value, STOP.
std::string document(const std::string& value);

/// A float32 tensor of one element in storage "0".
std::string one_tensor();

/// The archive that torch.save would make of `data_pkl` and storages "0", "1", ... of these bytes.
std::string archive(const std::string& data_pkl, const std::vector<std::string>& storages = {"abcd"});

}  // namespace bigmodel::test::pickle

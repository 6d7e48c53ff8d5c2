// SPDX-License-Identifier: Apache-2.0
#include "attacks/make_pickle.h"

#include <fmt/format.h>

#include "attacks/make_zip.h"

namespace bigmodel::test::pickle {

std::string text(std::string_view value) { return "X" + little_endian(value.size(), 4) + std::string(value); }

std::string whole(std::int64_t value) { return "\x8a\x08" + little_endian(static_cast<std::uint64_t>(value), 8); }

std::string tuple(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}

std::string numbers(const std::vector<std::int64_t>& values) {
  std::vector<std::string> items;
  for (const std::int64_t value : values) items.push_back(whole(value));
  return tuple(items);
}

std::string global(std::string_view module, std::string_view name) { return fmt::format("c{}\n{}\n", module, name); }

std::string call(const std::string& callee, const std::vector<std::string>& arguments) { return callee + tuple(arguments) + "R"; }

std::string storage(std::string_view type, std::string_view key, std::int64_t count) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), whole(count)}) + "Q";
}

std::string ordered_dict() { return global("collections", "OrderedDict") + ")R"; }

std::string tensor(const std::string& storage, std::int64_t offset, const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& strides,
                   const std::vector<std::string>& more) {
  std::vector<std::string> arguments{storage, whole(offset), numbers(shape), numbers(strides), "\x89", ordered_dict()};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return call(global("torch._utils", "_rebuild_tensor_v2"), arguments);
}

std::string dict(const std::vector<std::pair<std::string, std::string>>& pairs) {
  std::string out = "}(";
  for (const auto& [key, value] : pairs) out += text(key) + value;
  return out + "u";
}

std::string document(const std::string& value) { return "\x80\x02" + value + "."; }

std::string one_tensor() { return tensor(storage("FloatStorage", "0", 1), 0, {1}, {1}); }

std::string archive(const std::string& data_pkl, const std::vector<std::string>& storages) {
  std::vector<ZipMember> members{{.name = "archive/data.pkl", .bytes = data_pkl}};
  for (std::size_t i = 0; i < storages.size(); ++i) members.push_back({.name = fmt::format("archive/data/{}", i), .bytes = storages[i]});
  members.push_back({.name = "archive/version", .bytes = "3\n"});
  return make_zip(members);
}

}  // namespace bigmodel::test::pickle

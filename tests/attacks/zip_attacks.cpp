// SPDX-License-Identifier: Apache-2.0
// What the zip archive around a PyTorch checkpoint can lie about: names, sizes, checksums, places, and which entry is the real one.
#include <fmt/format.h>

#include "attacks/attack.h"
#include "attacks/make_pickle.h"
#include "attacks/make_zip.h"

namespace bigmodel::test {
namespace {

using namespace std::string_literals;
using Members = std::vector<ZipMember>;

std::string good_pickle() { return pickle::document(pickle::dict({{"w", pickle::one_tensor()}})); }

/// data.pkl, one storage of four bytes, version.
Members good() {
  return {{.name = "archive/data.pkl", .bytes = good_pickle()}, {.name = "archive/data/0", .bytes = "abcd"}, {.name = "archive/version", .bytes = "3\n"}};
}

class Table {
 public:
  /// The good archive, changed.
  template <class Change>
  void refuse(const char* name, Change change, const char* what, const char* words) {
    Members members = good();
    change(members);
    refuse_bytes(name, make_zip(members), what, words);
  }
  void refuse_bytes(const char* name, std::string bytes, const char* what, const char* words) { out.push_back(refused("zip/"s + name + ".bin", std::move(bytes), what, words)); }
  void refuse_shape(const char* name, const ZipShape& shape, const char* what, const char* words) { refuse_bytes(name, make_zip(good(), shape), what, words); }
  template <class Change>
  void accept(const char* name, Change change, const char* what, const char* why) {
    Members members = good();
    change(members);
    out.push_back(accepted("zip/"s + name + ".bin", make_zip(members), what, why));
  }
  std::vector<Attack> out;
};

void add_contents(Table& t) {
  t.refuse("pickle_crc", [](Members& m) { m[0].crc32 = 1; }, "a pickle that is not what its checksum says; scanners stop there, torch.load does not look", "is damaged");
  t.accept("no_crc", [](Members& m) { for (ZipMember& member : m) member.crc32 = 0; }, "checksums of zero", "torch's writer leaves them out on request");
  t.refuse("storage_short", [](Members& m) { m[1].bytes = "ab"; }, "a storage shorter than its elements: torch.load before 2.10 read what lay in memory behind it", "has 2 bytes, expected 4");
  t.refuse("storage_long", [](Members& m) { m[1].bytes = "abcdefgh"; }, "a storage longer than its elements", "has 8 bytes, expected 4");
  t.refuse("storage_missing", [](Members& m) { m.erase(m.begin() + 1); }, "a storage that is not there", "no entry \"data/0\"");
  t.refuse("no_pickle", [](Members& m) { m.erase(m.begin()); }, "no data.pkl", "no \"data.pkl\"");
  t.refuse("no_version", [](Members& m) { m.pop_back(); }, "no version", "no \"version\"");
  t.refuse("version_11", [](Members& m) { m[2].bytes = "11\n"; }, "a version of the future", "archive version \"11\"");
  t.refuse("version_text", [](Members& m) { m[2].bytes = "three"; }, "a version that is no number", "archive version \"three\"");
  t.refuse("big_endian", [](Members& m) { m.push_back({.name = "archive/byteorder", .bytes = "big"}); }, "numbers of the other byte order", "big-endian");
  t.refuse("torchscript", [](Members& m) { m.push_back({.name = "archive/constants.pkl", .bytes = "x"}); }, "a program, which torch.load hands to the TorchScript reader", "TorchScript");
  t.accept("unused_entry", [](Members& m) { m.push_back({.name = "archive/data/1", .bytes = "more"}); }, "bytes that no tensor names", "nothing reads them, and what is written from it leaves them out");
}

void add_names(Table& t) {
  const auto renamed = [](std::size_t i, const std::string& name) { return [=](Members& m) { m[i].name = name; }; };
  t.refuse("pickle_twice", [](Members& m) { m.push_back({.name = "archive/data.pkl", .bytes = "other"}); }, "two data.pkl: torch takes one, scanners the other", "is there twice");
  t.refuse("pickle_twice_case", [](Members& m) { m.push_back({.name = "archive/DATA.PKL", .bytes = "other"}); }, "data.pkl and DATA.PKL, which are one to torch", "is there twice");
  t.refuse("local_name", [](Members& m) { m[0].local_name = "archive/DATA.pkl"; }, "a name in the directory and another before the bytes (CVE-2025-1944)", "differ in name");
  t.refuse("local_name_longer", [](Members& m) { m[0].local_name = "archive/data.pkl.txt"; }, "a longer name before the bytes, which shifts them", "differ in name");
  t.refuse("climbs", renamed(1, "archive/../../data/0"), "a name that climbs out of the archive", "no plain relative path");
  t.refuse("absolute", renamed(1, "/etc/passwd"), "an absolute name", "no plain relative path");
  t.refuse("backslash", renamed(1, "archive\\data\\0"), "a name with backslashes", "no plain relative path");
  t.refuse("nul", renamed(1, "archive/data/0\0.txt"s), "a name with a NUL", "no plain relative path");
  t.refuse("no_name", renamed(1, ""), "an empty name", "no plain relative path");
  t.refuse("outside_root", renamed(1, "other/data/0"), "an entry outside the archive's folder", "lies outside folder");
}

void add_sizes(Table& t) {
  t.refuse("two_sizes", [](Members& m) { m[1].stored_bytes = 3; }, "stored bytes of two sizes", "stored with two sizes");
  t.refuse("local_size", [](Members& m) { m[1].local_size = 8; }, "another size before the bytes than in the directory", "differ in size");
  t.refuse("local_method", [](Members& m) { m[1].local_method = 8; }, "compressed before the bytes, stored in the directory", "differ in compression");
  t.refuse("zip_bomb", [](Members& m) { m[0].method = 8; m[0].size_bytes = 0xfffffff0; m[0].local_size = 0; }, "a few bytes that claim to inflate to 4 GiB", "is compressed");
  t.refuse("deflated_storage", [](Members& m) { m[1].method = 8; m[1].size_bytes = 4000; m[1].local_size = 0; }, "a compressed storage", "is compressed");
  t.refuse("unknown_method", [](Members& m) { m[1].method = 99; }, "a compression that does not exist", "is compressed");
  t.refuse("size_2_64", [](Members& m) {
    m[1].stored_bytes = m[1].size_bytes = m[1].local_size = 0xffffffff;
    m[1].extra = little_endian(1, 2) + little_endian(16, 2) + little_endian(~std::uint64_t{0}, 8) + little_endian(~std::uint64_t{0}, 8);
  }, "sizes of 2^64 - 1", "lies outside the file");
  t.refuse("zip64_missing", [](Members& m) { m[1].stored_bytes = m[1].size_bytes = 0xffffffff; m[1].extra = little_endian(1, 2) + little_endian(4, 2) + "abcd"; },
           "sizes said to be in a field that has no room for them", "damaged zip64 field");
  t.refuse("extra_past_end", [](Members& m) { m[1].extra = little_endian(1, 2) + little_endian(60'000, 2); }, "an extra field longer than its room", "damaged extra field");
  t.refuse("offset_past_end", [](Members& m) { m[1].local_offset = 0x7fffffff; }, "an entry beyond the file", "lies outside the file");
  t.refuse("offset_nowhere", [](Members& m) { m[1].local_offset = 3; }, "an entry where no header is", "has no header");
  t.refuse("same_place", [](Members& m) { m.push_back({.name = "archive/data/0", .bytes = "wxyz", .local_offset = 0}); m.back().name = "archive/data.pkl2"; },
           "two entries of the directory at one place", "differ in name");
  t.refuse("overlap", [](Members& m) {
    // data/1 is the header and the bytes that lie inside data/0.
    const std::string inner = make_zip({{.name = "archive/data/1", .bytes = "wxyz"}});
    const std::string hidden = inner.substr(0, inner.find("PK\1\2"));
    m[1].bytes = hidden;
    std::size_t at = 0;
    for (std::size_t i = 0; i < 1; ++i) at += 30 + m[i].name.size() + m[i].bytes.size();
    m.push_back({.name = "archive/data/1", .bytes = "wxyz", .local_offset = static_cast<std::uint32_t>(at + 30 + m[1].name.size())});
  }, "an entry inside another's bytes", "overlaps another");
  for (const auto& [name, flag, what] : {std::tuple("encrypted", 0x1, "a flag says encrypted: scanners fail, torch loads (CVE-2025-1945)"),
                                         std::tuple("strongly_encrypted", 0x40, "a flag says strongly encrypted (CVE-2025-1945)"),
                                         std::tuple("masked_headers", 0x2000, "a flag says that the headers are masked")}) {
    t.refuse(name, [flag = flag](Members& m) { m[0].flags = static_cast<std::uint16_t>(flag); }, what, "is encrypted");
  }
  t.accept("patched_data", [](Members& m) { m[0].flags = 0x20; }, "a flag says patched data (CVE-2025-1945)", "the bytes are stored and checked all the same");
}

void add_ends(Table& t) {
  t.refuse_bytes("cut_short", make_zip(good()).substr(0, 200), "the end is missing", "no end record");
  t.refuse_bytes("signature_alone", "PK\3\4", "four bytes", "too short");
  t.refuse_bytes("no_entries", make_zip({}), "an archive of nothing", "empty zip archive");
  t.refuse_shape("bytes_after", {.after = "more"}, "bytes behind the archive", "no end record");
  t.refuse_shape("pickle_before", {.before = good_pickle()}, "a pickle before the archive, which is what torch then loads", "none that torch.save wrote");
  t.refuse_shape("bytes_before_directory", {.directory_offset = 4}, "a directory somewhere else", "damaged directory");
  t.refuse_shape("directory_2_32", {.directory_offset = 0xfffffffe}, "a directory beyond the file", "damaged directory");
  t.refuse_shape("count_too_large", {.count = 9}, "more entries than the directory has", "expected 9");
  t.refuse_shape("count_too_small", {.count = 2}, "fewer entries than the directory has: some readers stop there", "expected 2");
  t.refuse_shape("several_disks", {.disk = 1}, "an archive of several files", "spans several files");
  t.refuse_shape("zip64_locator_nowhere", {.before_end = "PK\6\7" + little_endian(0, 4) + little_endian(~std::uint64_t{0} - 3, 8) + little_endian(1, 4)}, "a zip64 end record at 2^64 - 4", "lies outside the file");
  t.refuse_shape("zip64_locator_wrong", {.before_end = "PK\6\7" + little_endian(0, 4) + little_endian(0, 8) + little_endian(1, 4)}, "a zip64 end record that is none", "zip64 end record is damaged");
  {
    const std::string end64 = "PK\6\6" + little_endian(44, 8) + little_endian(45, 4) + little_endian(0, 8) + little_endian(~std::uint64_t{0}, 8) + little_endian(~std::uint64_t{0}, 8) +
                              little_endian(~std::uint64_t{0}, 8) + little_endian(1, 8);
    const std::size_t at = make_zip(good()).size() - 22;
    t.refuse_shape("zip64_directory_2_64", {.before_end = end64 + "PK\6\7" + little_endian(0, 4) + little_endian(at, 8) + little_endian(1, 4)}, "a directory of 2^64 - 1 entries and bytes", "damaged directory");
  }
  t.out.push_back(accepted("zip/comment.bin", make_zip(good(), {.comment = "a comment"}), "a comment behind the directory", "it is part of the format, reaches to the end and is not read"));
}

}  // namespace

std::vector<Attack> zip_attacks() {
  Table t;
  t.out.push_back(accepted("zip/good.bin", make_zip(good()), "nothing: what the others are made from", "it is sound"));
  add_contents(t);
  add_names(t);
  add_sizes(t);
  add_ends(t);
  return t.out;
}

}  // namespace bigmodel::test

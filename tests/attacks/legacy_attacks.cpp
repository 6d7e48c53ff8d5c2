// SPDX-License-Identifier: Apache-2.0
// What a PyTorch file of before 1.6 can lie about: five pickles and then storages, each with its own count.
#include <fmt/format.h>

#include "attacks/attack.h"
#include "attacks/make_pickle.h"
#include "attacks/make_zip.h"

namespace bigmodel::test {
namespace {

using namespace std::string_literals;
using namespace pickle;

struct Parts {
  std::string magic = document("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");
  std::string protocol = document("M\xe9\x03");
  std::string system = document("}(" + text("little_endian") + "\x88u");
  std::string object = document(dict({{"w", one_tensor()}}));
  std::string keys = document("](" + text("0") + "e");
  std::string storages = little_endian(1, 8) + "abcd";
  std::string bytes() const { return magic + protocol + system + object + keys + storages; }
};

}  // namespace

std::vector<Attack> legacy_attacks() {
  std::vector<Attack> out;
  const auto refuse = [&](const char* name, const Parts& parts, const char* what, const char* words) { out.push_back(refused("legacy/"s + name + ".bin", parts.bytes(), what, words)); };
  out.push_back(accepted("legacy/good.bin", Parts{}.bytes(), "nothing: what the others are made from", "it is sound"));
  refuse("other_magic", {.magic = document("\x8a\x0a\x6d\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19")}, "a pickle of something else", "none that torch.save wrote");
  refuse("plain_pickle", {.magic = document("}")}, "a plain pickle", "none that torch.save wrote");
  refuse("magic_calls", {.magic = document(call(global("os", "system"), {text("echo pwned")}))}, "calls where the magic number should be", "refused os.system");
  refuse("protocol_1000", {.protocol = document("M\xe8\x03")}, "another protocol", "not 1001");
  refuse("no_system", {.system = document("N")}, "no system record", "no system record");
  refuse("big_endian", {.system = document("}(" + text("little_endian") + "\x89u")}, "the other byte order", "big-endian");
  refuse("object_calls", {.object = document(call(global("builtins", "exec"), {text("x")}))}, "calls in the object", "refused builtins.exec");
  refuse("keys_no_list", {.keys = document("N")}, "keys that are no list", "no list of storages");
  refuse("key_unknown", {.keys = document("](" + text("1") + "e")}, "a storage that no tensor names", "which no tensor names");
  refuse("key_twice", {.keys = document("](" + text("0") + text("0") + "e"), .storages = little_endian(1, 8) + "abcd" + little_endian(1, 8) + "efgh"}, "one storage twice", "twice");
  refuse("key_missing", {.keys = document("]"), .storages = ""}, "a tensor without storage", "no storage \"0\"");
  refuse("count_differs", {.storages = little_endian(2, 8) + "abcdefgh"}, "another count at the storage than in the pickle", "has 8 bytes, expected 4");
  refuse("count_2_63", {.storages = little_endian(std::uint64_t{1} << 63, 8) + "abcd"}, "a count of 2^63", "too large");
  refuse("cut_in_count", {.storages = "abc"}, "ends inside a count", "cut short");
  refuse("cut_in_storage", {.storages = little_endian(1, 8) + "ab"}, "ends inside a storage", "cut short");
  refuse("cut_in_pickle", {.object = "\x80\x02}", .keys = "", .storages = ""}, "ends inside a pickle", "cut short");
  out.push_back(accepted("legacy/bytes_after.bin", Parts{}.bytes() + "more", "bytes behind the last storage", "torch.load does not look; a note says so"));
  std::string tar(1024, '\0');
  tar.replace(0, 8, "sys_info").replace(257, 5, "ustar");
  out.push_back(refused("legacy/tar.bin", tar, "the archive of PyTorch 0.1 (CVE-2025-32434 reached weights_only through it)", "tar archive"));
  return out;
}

}  // namespace bigmodel::test

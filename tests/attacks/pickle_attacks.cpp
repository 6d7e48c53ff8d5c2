// SPDX-License-Identifier: Apache-2.0
// What the pickle of a PyTorch checkpoint can try: to call something, to confuse the machine, to make it grow, to point tensors elsewhere.
#include <fmt/format.h>

#include "attacks/attack.h"
#include "attacks/make_pickle.h"
#include "attacks/make_zip.h"

namespace bigmodel::test {
namespace {

using namespace std::string_literals;
using namespace pickle;

class Table {
 public:
  /// A state dictionary whose value is `value`.
  void refuse(const char* name, const std::string& value, const char* what, const char* words) { refuse_document(name, document(dict({{"w", value}})), what, words); }
  void refuse_document(const char* name, const std::string& data_pkl, const char* what, const char* words, const std::vector<std::string>& storages = {"abcd"}) {
    out.push_back(refused("pickle/"s + name + ".bin", archive(data_pkl, storages), what, words));
  }
  void accept(const char* name, const std::string& data_pkl, const char* what, const char* why, const std::vector<std::string>& storages = {"abcd"}) {
    out.push_back(accepted("pickle/"s + name + ".bin", archive(data_pkl, storages), what, why));
  }
  std::vector<Attack> out;
};

void add_calls(Table& t) {
  t.refuse("os_system", call(global("os", "system"), {text("echo pwned")}), "calls os.system as torch.load without weights_only does", "refused os.system");
  t.refuse("posix_system", call(global("posix", "system"), {text("echo pwned")}), "the same by its other name", "refused posix.system");
  t.refuse("eval", call(global("__builtin__", "eval"), {text("1")}), "evaluates a text", "refused __builtin__.eval");
  t.refuse("stack_global", text("builtins") + text("exec") + "\x93" + tuple({text("1")}) + "R", "names a callable by two texts on the stack", "refused builtins.exec");
  t.refuse("pip_main", call(global("pip", "main"), {text("install")}), "installs a package (CVE-2025-1716)", "refused pip.main");
  t.refuse("subclass_import", call(global("torch.nn.modules.linear", "Linear"), {whole(1), whole(1)}), "a class of torch itself", "refused torch.nn.modules.linear.Linear");
  t.refuse("dotted_name", text("torch._utils") + text("_rebuild_tensor_v2.__globals__") + "\x93" + tuple({}) + "R", "reaches through an allowed name", "refused torch._utils._rebuild_tensor_v2.__globals__");
  t.refuse("allowed_name_elsewhere", call(global("evil", "OrderedDict"), {}), "an allowed name of another module", "refused evil.OrderedDict");
  t.refuse("global_unused", global("os", "system") + "0" + one_tensor(), "names a callable and throws it away", "refused os.system");
  t.refuse("inst", "(" + text("echo pwned") + "ios\nsystem\n", "INST: names and calls at once", "refused os.system");
  t.refuse("obj", "(" + global("torch", "Size") + "o", "OBJ: builds an object", "builds an object");
  t.refuse("newobj", global("torch.nn.parameter", "Parameter") + tuple({text("x")}) + "\x81", "NEWOBJ of a parameter that is a text", "a tensor of what is no tensor");
  t.refuse("newobj_ex", global("torch", "Size") + ")}\x92", "NEWOBJ_EX", "NEWOBJ_EX");
  t.refuse("extension", "\x82\x01", "a callable by number", "extension number");
  t.refuse("calls_text", text("x") + ")R", "calls a text", "calls what is no global");
  t.refuse("calls_storage_type", global("torch", "FloatStorage") + ")R", "calls a storage type", "only named");
  t.refuse_document("payload_then_break", "\x80\x02" + call(global("os", "system"), {text("echo pwned")}) + "0\xff\xff", "a payload before the break (nullifAI)", "refused os.system");
  t.refuse("numpy", call(global("numpy.core.multiarray", "_reconstruct"), {}), "a numpy array", "a numpy object");
  t.refuse("quantized", call(global("torch._utils", "_rebuild_qtensor"), {}), "a quantized tensor", "a quantized tensor");
  t.refuse("sparse", call(global("torch._utils", "_rebuild_sparse_tensor"), {}), "a sparse tensor", "a sparse tensor");
  t.refuse("persistent_text", "Psome id\n", "a persistent id as text", "expected a storage");
  t.refuse("persistent_number", whole(1) + "Q", "a persistent id that is a number", "is no tuple");
  t.refuse("persistent_module", tuple({text("module"), text("x"), text("y"), text("z"), whole(1)}) + "Q", "source code as a persistent id", "is no storage");
}

void add_machine(Table& t) {
  t.refuse_document("empty", "", "no pickle at all", "cut short");
  t.refuse_document("no_stop", "\x80\x02}", "no STOP", "cut short");
  t.refuse_document("stop_first", ".", "STOP on an empty stack", "0 values are left");
  t.refuse_document("two_values", document("}}"), "two values at STOP", "2 values are left");
  t.refuse_document("open_mark", document("}("), "a group that never ends", "values are left");
  t.refuse_document("protocol_6", "\x80\x06}.", "a protocol of the future", "protocol 6");
  t.refuse_document("unknown_instruction", "\x80\x02\xfe.", "an instruction that does not exist", "unknown instruction 0xfe");
  t.refuse("memo_unknown", "h\x07", "recalls what was never kept", "never kept");
  t.refuse("memo_negative", "Np-1\n", "keeps at a negative place", "a number that is none");
  t.refuse_document("pop_below", document("0"), "pops an empty stack", "empty stack");
  t.refuse_document("mark_below", document("(0t"), "ends a group that was never begun", "never begun");
  t.refuse_document("take_across_mark", document("}" + text("a") + "(s"), "takes values from below a mark", "empty stack");
  t.refuse("set_on_tensor", one_tensor() + text("k") + whole(1) + "s", "sets a key of a tensor (CVE-2026-24747: wrote into its memory)", "sets a key of what is no dictionary");
  t.refuse("append_to_tuple", tuple({}) + whole(1) + "a", "appends to a tuple", "appends to what is no list");
  t.refuse("append_to_tensor", one_tensor() + "(" + whole(1) + "e", "appends to a tensor", "appends to what is no list");
  t.refuse("odd_items", "}(" + text("k") + "u", "a key without a value", "odd number");
  t.refuse("build_number", whole(1) + "}b", "sets the state of a number", "sets the state of");
  t.refuse("parameter_of_dict", call(global("torch._utils", "_rebuild_parameter"), {"}", "\x89", ordered_dict()}), "a parameter that is a dictionary", "a parameter of what is no tensor");
  t.refuse("type_confusion", tensor("}", 0, {1}, {1}), "a dictionary for a storage", "a tensor without storage");
  t.refuse("few_arguments", call(global("torch._utils", "_rebuild_tensor_v2"), {storage("FloatStorage", "0", 1)}), "a rebuild with one argument", "a call with 1 arguments");
  t.refuse("arguments_no_tuple", global("torch._utils", "_rebuild_tensor_v2") + "}R", "a dictionary for the arguments", "calls with what is no tuple");
  t.refuse("text_2_63", "\x8d" + little_endian(std::uint64_t{1} << 63, 8), "a text of 2^63 bytes", "a string of 9223372036854775808 bytes");
  t.refuse("text_4_gib", "X\xff\xff\xff\xff", "a text of 4 GiB", "a string of 4294967295 bytes");
  t.refuse("long_4_gib", "\x8b\xff\xff\xff\xff", "a number of 4 GiB", "a string of 4294967295 bytes");
  t.refuse("line_without_end", "c" + std::string(70'000, 'a'), "a name without end", "a line without end");
  t.refuse("out_of_band", "\x97", "a buffer that lies outside the file", "out-of-band");
  t.accept("frame_lies", "\x80\x04\x95" + little_endian(~std::uint64_t{0}, 8) + dict({{"w", one_tensor()}}) + ".", "a frame of 2^64 - 1 bytes", "a frame is a hint about reading ahead; nothing is");
  t.accept("protocol_twice", "\x80\x02\x80\x02" + dict({{"w", one_tensor()}}) + ".", "two protocol marks", "torch.load takes it, and the mark changes nothing");
  t.accept("bytes_after_stop", document(dict({{"w", one_tensor()}})) + document(call(global("os", "system"), {text("x")})), "a second pickle behind STOP", "torch.load stops there too");
  t.accept("far_memo", document(dict({{"w", one_tensor() + "r\xff\xff\xff\xff"}})), "keeps a value at place 2^32 - 1", "the memo is a map, so that it takes no room");
}

/// "l" nested `depth` times in itself, twice a level.
std::string doubling(int depth) {
  std::string out = "]q\x01";
  for (int i = 1; i <= depth; ++i) out += fmt::format("0](h{0}h{0}eq{1}", static_cast<char>(i), static_cast<char>(i + 1));
  return out;
}

void add_bombs(Table& t) {
  t.refuse("deep_lists", std::string(100'000, ']') + std::string(99'999, 'a'), "100,000 nested lists", "nested deeper");
  t.refuse("deep_marks", std::string(200'000, '('), "200,000 open groups", "nested too deep");
  t.refuse_document("deep_rebuilds", [] {
    std::string value = one_tensor();
    for (int i = 0; i < 200; ++i) value = call(global("torch._tensor", "_rebuild_from_type_v2"), {global("torch._tensor", "_rebuild_from_type_v2"), global("torch", "Tensor"), tuple({value}), "}"});
    return document(dict({{"w", value}}));
  }(), "rebuilds of rebuilds", "expected 4");
  t.accept("doubling", document(dict({{"bomb", doubling(60)}, {"w", one_tensor()}})), "60 lists that hold the one before twice: 2^60 leaves (an expansion bomb)", "each container is visited once");
  t.accept("self_containing", document("}q\x01(" + text("self") + "h\x01" + text("w") + one_tensor() + "u"), "a dictionary that contains itself", "each container is visited once");
  t.refuse_document("ordered_dicts", [] {
    // One list of 100,000 pairs, of which 5,000 dictionaries are made by recalling it: a billion items from 600 kB.
    std::string list = "]q\x01(";
    list += "](" + whole(1) + whole(2) + "e" + "q\x02";
    for (int i = 0; i < 100'000; ++i) list += "h\x02";
    list += "e";
    std::string out = list + "0" + global("collections", "OrderedDict") + "q\x03" + "0" + "h\x01\x85q\x04" + "0](";
    for (int i = 0; i < 5'000; ++i) out += "h\x03h\x04R";
    return document(out + "e");
  }(), "makes 5,000 dictionaries of one list of 100,000 pairs", "too many items");
  t.refuse_document("encoded_texts", [] {
    // 50,000 calls of _codecs.encode on one text of a megabyte.
    std::string out = text(std::string(1 << 20, 'x')) + "\x85q\x01" + "0" + global("_codecs", "encode") + "q\x02" + "0](";
    for (int i = 0; i < 50'000; ++i) out += "h\x02h\x01R";
    return document(out + "e0" + call(global("os", "system"), {}));
  }(), "copies a text of 1 MiB 50,000 times, were it copied", "refused os.system");
  t.refuse_document("long_keys", [] {
    // A key of 1 MiB above 2,000 tensors.
    std::string inner = "}(" + text("t0") + one_tensor() + "q\x01";
    for (int i = 1; i < 2'000; ++i) inner += text(fmt::format("t{}", i)) + "h\x01";
    return document("}(" + text(std::string(1 << 20, 'k')) + inner + "uu");
  }(), "a name of 1 MiB above 2,000 tensors: 2 GB of names", "names longer than");
  t.refuse("many_dimensions", tensor(storage("FloatStorage", "0", 1), 0, std::vector<std::int64_t>(65, 1), std::vector<std::int64_t>(65, 1)), "65 dimensions", "65 dimensions, expected at most 64");
}

void add_tensors(Table& t) {
  const std::int64_t huge = std::int64_t{1} << 62;
  const std::string one = storage("FloatStorage", "0", 1);
  const std::string two = storage("FloatStorage", "0", 2);
  const auto with = [](const std::string& value) { return document(dict({{"w", value}})); };
  const auto refuse_two = [&](const char* name, const std::string& value, const char* what, const char* words) { t.refuse_document(name, with(value), what, words, {"abcdefgh"}); };
  t.refuse("storage_2_62", tensor(storage("FloatStorage", "0", huge), 0, {1}, {1}), "a storage of 2^62 elements", "too large");
  t.refuse("storage_negative", tensor(storage("FloatStorage", "0", -1), 0, {1}, {1}), "a storage of -1 elements", "no size");
  t.refuse("storage_climbs", tensor(storage("FloatStorage", "../version", 1), 0, {1}, {1}), "a storage whose key climbs", "no entry \"data/../version\"");
  t.refuse("storage_long_key", tensor(storage("FloatStorage", std::string(2'000, '0'), 1), 0, {1}, {1}), "a storage with a long key", "without key");
  refuse_two("storage_two_types", tuple({tensor(two, 0, {2}, {1}), tensor(storage("HalfStorage", "0", 4), 0, {4}, {1})}), "one storage under two types: torch takes the first for both", "under two types");
  t.refuse("beyond_storage", tensor(one, 0, {2}, {1}), "more elements than the storage has", "needs 8 bytes");
  t.refuse("offset_beyond", tensor(one, 1, {1}, {1}), "an offset beyond the storage", "needs 8 bytes");
  t.refuse("offset_2_62", tensor(one, huge, {1}, {1}), "an offset of 2^62", "too large");
  t.refuse("offset_negative", tensor(one, -1, {1}, {1}), "a negative offset", "an offset that is no size");
  refuse_two("stride_beyond", tensor(two, 0, {2}, {2}), "a stride that leaves the storage", "needs 12 bytes");
  refuse_two("stride_2_62", tensor(two, 0, {5}, {huge}), "a stride whose product overflows", "too large");
  refuse_two("stride_negative", tensor(two, 1, {2}, {-1}), "a negative stride", "a stride that is no size");
  t.refuse("shape_2_62", tensor(one, 0, {huge, 4}, {0, 0}), "a shape that overflows", "too large");
  t.refuse("expanded", tensor(one, 0, {std::int64_t{1} << 40}, {0}), "four bytes seen as 4 TiB by a stride of 0", "expands 4 bytes of storage");
  t.refuse("few_strides", tensor(one, 0, {1, 1}, {1}), "fewer strides than dimensions", "strides");
  t.refuse("name_twice", "}(" + text("k") + one_tensor() + text("k") + one_tensor() + "u", "one key twice, the last wins in torch", "is there twice");
  t.refuse("metadata_unknown", tensor(one, 0, {1}, {1}, {"}(" + text("secret") + "\x88u"}), "a property of a tensor that nobody knows", "is not known");
  t.accept("empty_view", with(tensor(one, huge, {0, 3}, {huge, huge})), "no elements, far outside the storage", "nothing is read");
  t.accept("stride_of_one", with(tensor(one, 0, {1}, {huge})), "a huge stride of a dimension of one", "it is never taken");
  t.accept("small_expansion", with(tensor(one, 0, {1000}, {0})), "one element seen a thousand times", "as torch.expand saves it; up to 1 GiB");
}

}  // namespace

std::vector<Attack> pickle_attacks() {
  Table t;
  add_calls(t);
  add_machine(t);
  add_bombs(t);
  add_tensors(t);
  return t.out;
}

}  // namespace bigmodel::test

"""Small hand-made tokenizers of every kind of model, and what the tokenizers library makes of some texts.
usage: make_tokenizers.py OUT_DIR      (tokenizers 0.23.3)"""
import json, sys
from tokenizers import Tokenizer, decoders

OUT = sys.argv[1]
TEXTS = ["", " ", "hello hello", "Hello,  world 123", "h\u00e9llo \u7684 \U0001f600!", "  hello\n\n\thello  ", "<s>hello</s> <mask>x", "hellohello e\u0301", "\u0130\u01c5\ufb01 don't", "hell" * 40]


def chars(extra=()):
    return list(extra) + sorted(set("abcdefghijklmnopqrstuvwxyz HW,.!'0123\n") | {"\u00e9", "\u7684"})


def added(content, i, **kw):
    return dict({"id": i, "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}, **kw)


def file(model, **parts):
    d = {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None, "pre_tokenizer": None, "post_processor": None, "decoder": None, "model": model}
    d.update(parts)
    return d


def bytes_alphabet():
    keep = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    out, n = [], 0
    for b in range(256):
        if b in keep:
            out.append(chr(b))
        else:
            out.append(chr(256 + n))
            n += 1
    return out


MERGES = [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["\u0120", "hello"], ["1", "2"], ["\u0120", "\u0120"]]


def bpe(vocab, merges, **kw):
    for a, b in merges:
        if a + b not in vocab:
            vocab.append(a + b)
    return dict({"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                 "ignore_merges": False, "vocab": {t: i for i, t in enumerate(vocab)}, "merges": merges}, **kw)


def all_files():
    yield "byte_level", file(bpe(bytes_alphabet(), [list(m) for m in MERGES]), pre_tokenizer={"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
                             post_processor={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}, decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                             added_tokens=[added("<s>", 300), added("<mask>", 301, lstrip=True)])
    yield "roberta_pairs", file(bpe(["<s>", "</s>"] + bytes_alphabet(), [list(m) for m in MERGES]), pre_tokenizer={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                                post_processor={"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": True}, decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
                                added_tokens=[added("<s>", 0), added("</s>", 1)])
    sp = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)] + ["\u2581"] + [c for c in chars() if c not in " \n\u7684"]
    yield "byte_fallback", file(bpe(sp, [["h", "e"], ["l", "l"], ["he", "ll"], ["hell", "o"], ["\u2581", "hello"], ["\u2581", "\u2581"]], unk_token="<unk>", fuse_unk=True, byte_fallback=True),
                                normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}]},
                                decoder={"type": "Sequence", "decoders": [{"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
                                post_processor={"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                                                "pair": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<s>", "type_id": 1}}, {"Sequence": {"id": "B", "type_id": 1}}],
                                                "special_tokens": {"<s>": {"id": "<s>", "ids": [1], "tokens": ["<s>"]}}},
                                added_tokens=[added("<unk>", 0), added("<s>", 1), added("</s>", 2)])
    wp = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "hello", "he", "##llo", "##hello", "world", "##l", "don", "'", "t", "fi", "##x", "!", ",", "e", "\u7684", "12", "##3", "i", "x"]
    yield "word_piece", file({"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": {t: i for i, t in enumerate(wp)}},
                             normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True}, pre_tokenizer={"type": "BertPreTokenizer"},
                             post_processor={"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]}, decoder={"type": "WordPiece", "prefix": "##", "cleanup": True},
                             truncation={"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 2}, padding={"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
                             added_tokens=[added(t, i) for i, t in enumerate(wp[:4])])
    uni = [["<unk>", 0.0], ["<s>", 0.0], ["\u2581hello", -3.1], ["\u2581", -2.2], ["he", -3.5], ["ll", -4.0], ["hello", -6.25], ["o", -4.5], ["h", -5.0], ["e", -5.125], ["l", -5.25], ["w", -6.0], ["r", -6.1], ["d", -6.2], ["1", -7.0], ["12", -7.5], ["i", -5.5], ["f", -6.5]]
    yield "unigram", file({"type": "Unigram", "unk_id": 0, "vocab": uni, "byte_fallback": False}, normalizer={"type": "NFKC"}, pre_tokenizer={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True},
                          decoder={"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": "always", "split": True}, added_tokens=[added("<s>", 1)])
    yield "word_level", file({"type": "WordLevel", "vocab": {"[UNK]": 0, "hello": 1, "world": 2, "123": 3, "!": 4, "x": 5}, "unk_token": "[UNK]"}, normalizer={"type": "Lowercase"},
                             pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Whitespace"}, {"type": "Digits", "individual_digits": False}]}, added_tokens=[added("FI", 6, normalized=True, special=False)])
    yield "split_regex", file(bpe(bytes_alphabet(), [list(m) for m in MERGES], ignore_merges=True), normalizer={"type": "NFC"},
                              pre_tokenizer={"type": "Sequence", "pretokenizers": [{"type": "Split", "pattern": {"Regex": "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"}, "behavior": "Isolated", "invert": False},
                                                                                   {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}]}, decoder={"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True})


def enc(e):
    o = {"ids": e.ids, "tokens": e.tokens, "offsets": [list(x) for x in e.offsets], "special": e.special_tokens_mask, "words": e.word_ids}
    if any(e.type_ids):
        o["type_ids"] = e.type_ids
    if not all(e.attention_mask):
        o["attention"] = e.attention_mask
    if any(s not in (0, None) for s in e.sequence_ids):
        o["sequences"] = e.sequence_ids
    if e.overflowing:
        o["overflow"] = [enc(x) for x in e.overflowing]
    return o


for name, d in all_files():
    text = json.dumps(d, ensure_ascii=False, separators=(",", ":"))
    with open("%s/%s.json" % (OUT, name), "w", encoding="utf-8") as f:
        f.write(text + "\n")
    t = Tokenizer.from_str(text)
    rows = [{"kind": "info", "vocab_size": t.get_vocab_size(False), "vocab_size_with_added": t.get_vocab_size(True)}]
    for s in TEXTS:
        w = t.encode(s)
        rows.append({"kind": "encode", "text": s, "with": enc(w), "without": enc(t.encode(s, add_special_tokens=False)), "decode_skip": t.decode(w.ids), "decode_all": t.decode(w.ids, skip_special_tokens=False)})
        rows.append({"kind": "stream", "ids": w.ids, "skip": False, "prefixes": [t.decode(w.ids[:k], skip_special_tokens=False) for k in range(1, len(w.ids) + 1)]})
    rows.append({"kind": "pair", "a": TEXTS[2], "b": TEXTS[4], "with": enc(t.encode(TEXTS[2], TEXTS[4])), "without": enc(t.encode(TEXTS[2], TEXTS[4], add_special_tokens=False))})
    rows.append({"kind": "pretokenized", "words": ["hello", "x!"], "with": enc(t.encode(["hello", "x!"], is_pretokenized=True))})
    with open("%s/%s.cases.jsonl" % (OUT, name), "w", encoding="utf-8") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False, separators=(",", ":")) + "\n")

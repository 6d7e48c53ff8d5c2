"""Every class of transformers that builds a pipeline of its own, and what AutoTokenizer makes of its files.  usage: make_classes.py OUT_DIR SEED

Each class comes three times over: as its own save_pretrained writes it, with a tokenizer.json of another pipeline and switches turned, and chosen by the
model type of a config.json alone. Prints for which classes the plain reading of tokenizer.json gives other ids."""
import contextlib, io, json, lzma, os, random, sys, tempfile, warnings
import sentencepiece as spm
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
warnings.filterwarnings("ignore")
import transformers
from transformers import AutoTokenizer
from transformers.models.auto.tokenization_auto import TOKENIZER_MAPPING_NAMES
transformers.logging.set_verbosity(50)

out, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)
SYL = "ka lo mi ren tu sha vel no pra gi est ond al ur che fo bi dal zem ".split()
WORDS = ["".join(random.choice(SYL) for _ in range(random.randint(1, 3))) for _ in range(60)]
WORDS += ["Hello", "world", "the", "don't", "1234", "naïve", "Straße", "日本語", "的", "привет", "ﬁne", "x=y", "MKVL"]
LINES = [" ".join(random.choice(WORDS) for _ in range(random.randint(3, 9))) + random.choice([".", "!", ",", ""]) for _ in range(400)]
TEXTS = ["Hello, world! don't STOP…", "  two  spaces\n``déjà'' <s> a\ttest</s> ", "", "日本語 的😀 1234 ﬁne <mask> [MASK] x", "en_XX eng_Latn <extra_id_3> <unk_7><eop> <ent> [QUESTION] |<cls>"]
TEXTS += [" ".join(random.choice(WORDS) for _ in range(4))]
SPECIALS = ["<s>", "<pad>", "</s>", "<unk>", "[PAD]", "[UNK]", "[CLS]", "[SEP]", "<mask>", "[MASK]", "<|endoftext|>", "<|startoftext|>", "<bos>", "<eos>", "en_XX", "de_DE", "eng_Latn", "__fra__", "__eng__",
            "<|startoftranscript|>", "<|en|>", "<|zh|>", "<|translate|>", "<|transcribe|>", "<|notimestamps|>", "."]

def trained(trainer, model, before=None, normalizer=None):
    t = Tokenizer(model)
    if before: t.pre_tokenizer = before
    if normalizer: t.normalizer = normalizer
    t.train_from_iterator(LINES, trainer)
    return json.loads(t.to_str())["model"]

def renumbered(model):
    """The special texts first, then the trained tokens in a fixed order: training breaks ties as it likes."""
    tokens = SPECIALS + [t for t, _ in sorted(model["vocab"].items(), key=lambda x: x[1]) if t not in SPECIALS]
    return {t: i for i, t in enumerate(tokens)}

def unigram():
    model = io.BytesIO()
    rules = tempfile.NamedTemporaryFile("w", suffix=".tsv", delete=False)
    rules.write("FB01\t66 69\n48\t68\n")   # a ligature, and H as h
    rules.close()
    spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, model_type="unigram", vocab_size=220, hard_vocab_limit=False, minloglevel=2, num_threads=1,
                                   normalization_rule_tsv=rules.name)
    os.unlink(rules.name)
    from sentencepiece import sentencepiece_model_pb2 as pb
    proto = pb.ModelProto()
    proto.ParseFromString(model.getvalue())
    import base64
    vocab = [[t, 0.0] for t in SPECIALS if t != "."] + [[p.piece, round(p.score, 4)] for p in proto.pieces if p.type == 1]
    return vocab, base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()

byte_bpe = trained(trainers.BpeTrainer(vocab_size=380, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False), models.BPE(), pre_tokenizers.ByteLevel(add_prefix_space=False))
suffix_bpe = trained(trainers.BpeTrainer(vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>", show_progress=False), models.BPE(end_of_word_suffix="</w>"),
                     pre_tokenizers.Sequence([pre_tokenizers.BertPreTokenizer(), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]), normalizers.Lowercase())
mark_bpe = trained(trainers.BpeTrainer(vocab_size=260, show_progress=False), models.BPE(unk_token="<unk>"), pre_tokenizers.Metaspace())
piece = trained(trainers.WordPieceTrainer(vocab_size=240, show_progress=False), models.WordPiece(unk_token="[UNK]"), pre_tokenizers.BertPreTokenizer(), normalizers.BertNormalizer())
scores, charsmap = unigram()
for b in range(256): mark_bpe["vocab"][f"<0x{b:02X}>"] = 10000 + b
VOCABULARIES = {"byte_bpe": {"type": "BPE", "vocab": renumbered(byte_bpe), "merges": byte_bpe["merges"]}, "suffix_bpe": {"type": "BPE", "vocab": renumbered(suffix_bpe), "merges": suffix_bpe["merges"]},
                "mark_bpe": {"type": "BPE", "vocab": renumbered(mark_bpe), "merges": mark_bpe["merges"]}, "piece": {"type": "WordPiece", "vocab": renumbered(piece)}, "scores": {"type": "Unigram", "vocab": scores}}

# class: its vocabulary, switches to turn
CLASSES = {
    "AlbertTokenizer": ("scores", [{"keep_accents": True, "do_lower_case": False}, {"add_prefix_space": False}]), "BarthezTokenizer": ("scores", [{"add_prefix_space": False}]),
    "BertTokenizer": ("piece", [{"do_lower_case": False}]), "BigBirdTokenizer": ("scores", [{"add_prefix_space": False}, {"unk_token": "[UNK]"}]),
    "BlenderbotTokenizer": ("byte_bpe", [{"add_prefix_space": False}]), "CLIPTokenizer": ("suffix_bpe", [{"unk_token": "<unk>"}]), "CamembertTokenizer": ("scores", [{"add_prefix_space": False}, {"unk_token": "nope"}]),
    "CodeGenTokenizer": ("byte_bpe", [{"add_prefix_space": True}]), "CodeLlamaTokenizer": ("mark_bpe", [{}]), "CohereTokenizer": ("byte_bpe", [{}]), "ConvBertTokenizer": ("piece", [{}]),
    "DPRQuestionEncoderTokenizer": ("piece", [{}]), "DPRReaderTokenizer": ("piece", [{}]), "DebertaTokenizer": ("byte_bpe", [{"add_prefix_space": True}]),
    "DebertaV2Tokenizer": ("scores", [{"do_lower_case": True, "split_by_punct": True, "add_prefix_space": False}, {"unk_token": "[PAD]", "unk_id": 7}]), "DistilBertTokenizer": ("piece", [{"do_lower_case": False}]),
    "EsmcTokenizer": ("byte_bpe", [{"bos_token": "<s>"}]), "FNetTokenizer": ("scores", [{}]),
    "FunnelTokenizer": ("piece", [{"do_lower_case": False, "clean_text": False, "strip_accents": True, "wordpieces_prefix": "@@"}]), "GPT2Tokenizer": ("byte_bpe", [{}]), "GPTNeoXTokenizer": ("byte_bpe", [{}]), "GemmaTokenizer": ("mark_bpe", [{}]),
    "HerbertTokenizer": ("suffix_bpe", [{"unk_token": "[UNK]"}]), "LEDTokenizer": ("byte_bpe", [{}]), "LasrTokenizer": ("scores", [{"extra_ids": 5}]),
    "LayoutLMv2Tokenizer": ("piece", [{"strip_accents": False, "tokenize_chinese_chars": False}]), "LayoutLMv3Tokenizer": ("byte_bpe", [{"add_prefix_space": False}]), "LayoutXLMTokenizer": ("scores", [{"add_prefix_space": False}]),
    "LlamaTokenizer": ("mark_bpe", [{}]), "LukeTokenizer": ("byte_bpe", [{"add_prefix_space": True, "extra_special_tokens": ["MKVL"]}]), "LxmertTokenizer": ("piece", [{}]),
    "MBart50Tokenizer": ("scores", [{"src_lang": "de_DE"}]), "MBartTokenizer": ("scores", [{"src_lang": "de_DE"}]), "MLukeTokenizer": ("scores", [{"additional_special_tokens": ["MKVL"]}]),
    "MPNetTokenizer": ("piece", [{"do_lower_case": False}]), "MarkupLMTokenizer": ("byte_bpe", [{"tags_dict": {"a": 0}, "add_prefix_space": True}]), "MobileBertTokenizer": ("piece", [{}]),
    "NllbTokenizer": ("mark_bpe", [{"legacy_behaviour": True, "src_lang": "ace_Latn"}, {"src_lang": "zz"}]), "NougatTokenizer": ("byte_bpe", [{}]), "OpenAIGPTTokenizer": ("suffix_bpe", [{}]), "ParakeetTokenizer": ("mark_bpe", [{"pad_token": "<pad>"}]),
    "PegasusTokenizer": ("scores", [{"offset": 9}]), "Qwen2Tokenizer": ("byte_bpe", [{}]), "Qwen3_5Tokenizer": ("byte_bpe", [{}]), "ReformerTokenizer": ("mark_bpe", [{}]),
    "RemBertTokenizer": ("scores", [{"do_lower_case": True, "keep_accents": False, "add_prefix_space": False}]), "RobertaTokenizer": ("byte_bpe", [{"trim_offsets": False, "add_prefix_space": True}]),
    "SeamlessM4TTokenizer": ("mark_bpe", [{"src_lang": "fra", "tgt_lang": "eng"}, {"src_lang": "zzz"}]), "Siglip2Tokenizer": ("mark_bpe", [{}]), "SplinterTokenizer": ("piece", [{"padding_side": "left"}]),
    "T5Tokenizer": ("scores", [{"extra_ids": 5}, {"extra_ids": 3, "extra_special_tokens": ["MKVL"]}]), "Tipsv2Tokenizer": ("mark_bpe", [{"do_lower_case": False}]), "UdopTokenizer": ("scores", [{"unk_token": "[UNK]"}]),
    "VideoPrismTokenizer": ("scores", [{"extra_ids": 5}]),
    "WhisperTokenizer": ("byte_bpe", [{"language": "english", "task": "transcribe"}, {"language": "zh", "task": "translate", "predict_timestamps": True, "add_prefix_space": True}]),
    "XGLMTokenizer": ("scores", [{"add_prefix_space": False}]), "XLMRobertaTokenizer": ("scores", [{"add_prefix_space": False}]), "XLNetTokenizer": ("scores", [{"do_lower_case": True, "unk_id": 3, "padding_side": "right"}]),
}

def native(name):
    v = VOCABULARIES[name]
    return {"vocab": [tuple(x) for x in v["vocab"]] if name == "scores" else dict(v["vocab"]), **({"merges": [tuple(m) for m in v["merges"]]} if "merges" in v else {})}

def foreign(name, odd):
    """A tokenizer.json that no class writes; the charsmap is what some classes take from it."""
    v = VOCABULARIES[name]
    model = {"type": v["type"], **({"unk_id": 3} if name == "scores" else {"unk_token": "<unk>"}), **({"continuing_subword_prefix": "##", "max_input_chars_per_word": 30} if name == "piece" else {})}
    chars = {"type": "Precompiled", "precompiled_charsmap": charsmap}
    return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [dict(id=2, content="</s>", single_word=False, lstrip=False, rstrip=True, normalized=False, special=True)] if odd else [],
            "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFD"}, chars]} if name == "scores" and not odd else {"type": "Lowercase"}, "pre_tokenizer": {"type": "Whitespace"},
            "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "</s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}], "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                               "special_tokens": {"</s>": {"id": "</s>", "ids": [2], "tokens": ["</s>"]}}} if odd else None, "decoder": None, "model": model}

def whole(tokenizer, name):
    v = VOCABULARIES[name]
    return {**tokenizer, "model": {**tokenizer["model"], "vocab": v["vocab"], **({"merges": v["merges"]} if "merges" in v else {})}}

def results(folder):
    t = AutoTokenizer.from_pretrained(folder)
    row = {"class": type(t).__name__, "special_tokens_map": {k: str(v) for k, v in t.special_tokens_map.items()}, "bos_id": t.bos_token_id, "eos_id": t.eos_token_id, "pad_id": t.pad_token_id, "unk_id": t.unk_token_id,
           "length": len(t), "side": t.padding_side, "texts": []}
    # What a call gives counts: SeamlessM4TTokenizer's constructor leaves the target's language, and the first call sets the source's.
    with contextlib.suppress(Exception): t(TEXTS[0])
    t._tokenizer.no_padding()
    t._tokenizer.no_truncation()
    for text in TEXTS:
        # Classes of documents ask for boxes too: the pipeline below them is compared.
        e = t._tokenizer.encode(text)
        with contextlib.suppress(Exception):
            assert list(t(text)["input_ids"]) == e.ids, (row["class"], text)
        row["texts"].append({"text": text, "input": {"input_ids": e.ids}, "plain": t._tokenizer.encode(text, add_special_tokens=False).ids, "offsets": e.offsets,
                             "decode": t.decode(e.ids), "decode_skip": t.decode(e.ids, skip_special_tokens=True)})
    e = t._tokenizer.encode(TEXTS[0], TEXTS[5])
    row["pair"] = {"text": TEXTS[0], "pair": TEXTS[5], "ids": e.ids, "types": e.type_ids}
    return row

def plain(tokenizer_json):
    t = Tokenizer.from_str(json.dumps(tokenizer_json))
    t.no_padding()
    t.no_truncation()
    return [t.encode(x).ids for x in TEXTS]

types = {}
for kind, cls in TOKENIZER_MAPPING_NAMES.items():
    if cls: types.setdefault(cls.removesuffix("Fast"), kind)
rows, differ = [], {"own": [], "foreign": []}
for cls, (name, switches) in CLASSES.items():
    jobs = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            kwargs = {"tags_dict": {"a": 0}} if cls == "MarkupLMTokenizer" else {}
            # Not the first of them all, so that the numbers come from the vocabulary.
            if cls == "ParakeetTokenizer":
                tokenizer = whole(foreign(name, True), name)
                json.dump(tokenizer, open(folder + "/tokenizer.json", "w"))
                transformers.ParakeetTokenizer(tokenizer_file=folder + "/tokenizer.json", pad_token="<pad>").save_pretrained(folder)
            else:
                made = {} if cls == "EsmcTokenizer" else native(name)
                getattr(transformers, cls)(**made, **kwargs).save_pretrained(folder)
            tokenizer = json.load(open(folder + "/tokenizer.json"))
            config = json.load(open(folder + "/tokenizer_config.json"))
            v = VOCABULARIES[name]
            if tokenizer["model"]["vocab"] == v["vocab"]:
                for key in ("vocab", "merges"): tokenizer["model"].pop(key, None)
                jobs.append(("own", tokenizer, config, None))
            elif cls == "EsmcTokenizer":
                jobs.append(("own", {**tokenizer, "model": {"type": "BPE"}}, config, None))
            else:
                print(cls, "numbers the vocabulary anew")
        except Exception as x:
            print(cls, "cannot be made:", type(x).__name__, str(x)[:150])
    for i, switch in enumerate(switches): jobs.append(("foreign", foreign(name, i % 2 == 0), {"tokenizer_class": cls + ("Fast" if i else ""), **kwargs, **switch}, None))
    if cls in types and cls != "MarkupLMTokenizer": jobs.append(("type", foreign(name, False), None, {"model_type": types[cls]}))
    for k, (how, tokenizer, config, model) in enumerate(jobs):
        row = {"id": f"{cls} {how} {k}", "vocabulary": name, "tokenizer": tokenizer, "files": {}}
        if config is not None: row["files"]["tokenizer_config.json"] = config
        if model is not None: row["files"]["config.json"] = model
        with tempfile.TemporaryDirectory() as folder:
            json.dump(whole(tokenizer, name), open(folder + "/tokenizer.json", "w"))
            for file, content in row["files"].items(): json.dump(content, open(os.path.join(folder, file), "w"))
            try:
                row.update(results(folder))
            except Exception as x:
                row["error"] = f"{type(x).__name__}: {x}".replace(folder, "DIR")[:200]
                print(row["id"], row["error"])
            else:
                if [t["input"]["input_ids"] for t in row["texts"]] != plain(whole(tokenizer, name)): differ.setdefault(how, []).append(cls)
        rows.append(row)
os.makedirs(out, exist_ok=True)
text = json.dumps({"vocabularies": VOCABULARIES}, ensure_ascii=False) + "\n" + "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
with lzma.open(os.path.join(out, "cases.jsonl.xz"), "wb", preset=9) as f: f.write(text.encode())
for how, names in differ.items(): print(f"{how}: the plain reading gives other ids for {len(set(names))} classes:", " ".join(sorted(set(names))))
print(len(rows), "folders,", len(CLASSES), "classes")

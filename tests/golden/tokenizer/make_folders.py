"""Folders of tokenizer files and what transformers' AutoTokenizer makes of them.  usage: make_folders.py OWN_DIR OUT_DIR SEED [big]

OWN_DIR holds byte_level.json, unigram.json, word_piece.json, byte_fallback.json (tokenizer.json files of other makers here). "big" adds
normalizers of 240 KB and larger vocabularies. Prints how often sentencepiece itself gives the same ids as transformers."""
import io, json, os, random, shutil, sys
import sentencepiece as spm
from transformers import AutoTokenizer

own, out, seed = sys.argv[1], sys.argv[2], int(sys.argv[3])
big = len(sys.argv) > 4
random.seed(seed)
SYL = "ka lo mi ren tu sha vel no pra gi est ond al ur che fo bi dal zem ".split()
WORDS = ["".join(random.choice(SYL) for _ in range(random.randint(1, 4))) for _ in range(400)]
WORDS += ["Hello", "world", "the", "don't", "1234", "naïve", "Straße", "日本語", "的", "привет", "ﬁne", "Ⅻ", "tab\there"]
LINES = [" ".join(random.choice(WORDS) for _ in range(random.randint(3, 12))) + random.choice([".", "!", "?", ",", ""]) for _ in range(1500)]
TEXTS = ["Hello, world!", " it 's n't <s> a test .", "", "déjà <|im_start|>user\n1234 的😀", "<think> x </think>  <unk>  y", "  two  spaces  ", "ﬁne Ⅻ Straße",
         "<sep> user<sep>defined </s>", "a\tb\r\nc", "[CLS] lower UPPER [MASK]", "▁ already ▁marked", "\u200bzero\u00a0width"]
TEXTS += [" ".join(random.choice(WORDS) for _ in range(random.randint(1, 9))) for _ in range(60 if big else 2)]

def sp(kind, vocab=300, **kw):
    model = io.BytesIO()
    kw = dict({"normalization_rule_name": "identity"}, **kw)
    spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, model_type=kind, vocab_size=vocab, character_coverage=0.98, **({} if kind == "bpe" else {"hard_vocab_limit": False}),
                                   minloglevel=2, num_threads=1, **kw)
    return model.getvalue()

def tok(s, **k): return dict({"__type": "AddedToken", "content": s, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False}, **k)
def dec(s, **k): return dict({"content": s, "lstrip": False, "rstrip": False, "normalized": False, "single_word": False, "special": True}, **k)
def load(name): return json.load(open(os.path.join(own, name + ".json"), encoding="utf-8"))
def config(cls=None, **kw): return {"tokenizer_config.json": dict({"tokenizer_class": cls} if cls else {}, **kw)}

bl, wp = load("byte_level"), load("word_piece")
merges = "#version: 0.2\n" + "\n".join(m if isinstance(m, str) else " ".join(m) for m in bl["model"]["merges"]) + "\n"
vm = {"vocab.json": bl["model"]["vocab"], "merges.txt": merges}
vt = {"vocab.txt": "\n".join(t for t, _ in sorted(wp["model"]["vocab"].items(), key=lambda x: x[1])) + "\n"}
llama = sp("bpe", byte_fallback=True, vocab=500)
plain_bpe = sp("bpe", user_defined_symbols=["<sep>", "<think>"], control_symbols=["<ctl>"])
uni = sp("unigram", user_defined_symbols=["<sep>"])
t5 = sp("unigram", pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
gemma = sp("bpe", byte_fallback=True, vocab=500, pad_id=0, eos_id=1, bos_id=2, unk_id=3, pad_piece="<pad>", bos_piece="<bos>", eos_piece="<eos>", add_dummy_prefix=False, remove_extra_whitespaces=False)
F = []
def add(name, files): F.append((name, files))
T = "tokenizer.model"
add("spm_llama", {T: llama, **config("LlamaTokenizer", add_bos_token=True, add_eos_token=True, bos_token="<s>", eos_token="</s>", unk_token="<unk>", legacy=False)})
add("spm_llama_legacy", {T: llama, **config("LlamaTokenizerFast", add_bos_token=True, bos_token=tok("<s>"), legacy=True, pad_token="<unk>", padding_side="right")})
add("spm_llama_no_prefix", {T: llama, **config("LlamaTokenizer", add_prefix_space=False)})
add("spm_general", {T: llama, **config("NoSuchTokenizer", add_bos_token=True)})
add("spm_general_bpe", {T: plain_bpe, **config("PreTrainedTokenizerFast")})
add("spm_general_unigram", {T: uni, **config("PreTrainedTokenizerFast", pad_token="<pad>")})
add("spm_llama_added", {T: llama, **config("LlamaTokenizer", added_tokens_decoder={"0": dec("<unk>"), "1": dec("<s>"), "2": dec("</s>"), "500": dec("<|im_start|>"), "501": dec("<think>", special=False)}, add_bos_token=True, pad_token="</s>")})
add("spm_llama_legacy_files", {T: llama, **config("LlamaTokenizer"), "special_tokens_map.json": {"bos_token": dec("<s>"), "additional_special_tokens": ["<|im_start|>"]}, "added_tokens.json": {"<|im_start|>": 500, "<think>": 501}})
add("spm_code_llama", {T: llama, **config("CodeLlamaTokenizer")})
add("spm_gemma", {T: gemma, **config("GemmaTokenizer", add_bos_token=True)})
add("spm_t5", {"spiece.model": t5, **config("T5Tokenizer")})
add("spm_xlmr", {"sentencepiece.bpe.model": uni, **config("XLMRobertaTokenizer")})
add("spm_albert", {"spiece.model": sp("unigram", pad_id=0, unk_id=1, bos_id=-1, eos_id=-1, control_symbols=["[CLS]", "[SEP]", "[MASK]"]), **config("AlbertTokenizer")})
add("spm_mistral", {T: llama, "config.json": {"model_type": "mistral"}, **config("LlamaTokenizer", add_bos_token=True)})
add("gpt2_files", {**vm, **config("GPT2Tokenizer", bos_token="<|endoftext|>", add_bos_token=True)})
add("gpt2_prefix", {**vm, **config("GPT2Tokenizer", add_prefix_space=True, pad_token="<pad>")})
add("gpt2_by_config", {**vm, "config.json": {"model_type": "gpt2"}})
add("qwen2_files", {**vm, **config("Qwen2Tokenizer", eos_token="<|im_end|>", added_tokens_decoder={"900": dec("<|im_start|>"), "901": dec("<|im_end|>")})})
add("neox_files", {**vm, **config("GPTNeoXTokenizer", add_eos_token=True)})
add("roberta_files", {**vm, **config("RobertaTokenizer", mask_token=tok("<mask>", lstrip=True))})
add("cohere_files", {**vm, **config("CohereTokenizer", add_bos_token=True)})
add("bert_files", {**vt, **config("BertTokenizer", do_lower_case=False)})
add("bert_accents", {**vt, **config("BertTokenizerFast", strip_accents=False, tokenize_chinese_chars=False, clean_up_tokenization_spaces=True)})
add("bert_by_config", {**vt, "config.json": {"model_type": "bert"}})
add("json_gpt2", {"tokenizer.json": bl, **config("GPT2Tokenizer", add_prefix_space=True, add_bos_token=True)})
add("json_roberta", {"tokenizer.json": bl, **config("RobertaTokenizer")})
add("json_neox", {"tokenizer.json": bl, **config("GPTNeoXTokenizer", add_bos_token=True)})
add("json_qwen_by_config", {"tokenizer.json": bl, "config.json": {"model_type": "qwen2"}, **config("LlamaTokenizer")})
add("json_llama_byte_level", {"tokenizer.json": bl, **config("LlamaTokenizer", unk_token=None)})
add("json_qwen3_5", {"tokenizer.json": bl, **config("Qwen3_5Tokenizer")})
add("json_bert", {"tokenizer.json": wp, **config("BertTokenizer", do_lower_case=False)})
add("json_xlmr", {"tokenizer.json": load("unigram"), **config("XLMRobertaTokenizer")})
add("json_general_added", {"tokenizer.json": bl, **config("PreTrainedTokenizerFast", pad_token="<new>", additional_special_tokens=["<a>", tok("<b>", rstrip=True)], split_special_tokens=True)})
if big:
    add("spm_nfkc", {T: sp("unigram", normalization_rule_name="nmt_nfkc", vocab=600), **config("PreTrainedTokenizerFast")})
    add("spm_t5_nfkc", {"spiece.model": sp("unigram", normalization_rule_name="nmt_nfkc", vocab=600, pad_id=0, eos_id=1, unk_id=2, bos_id=-1), **config("T5Tokenizer", extra_ids=100)})
    add("spm_xlmr_cf", {"sentencepiece.bpe.model": sp("unigram", normalization_rule_name="nmt_nfkc_cf", vocab=600), **config("XLMRobertaTokenizer", add_prefix_space=False)})
    add("spm_bpe_nfkc", {T: sp("bpe", normalization_rule_name="nfkc", vocab=1000, byte_fallback=True), **config("LlamaTokenizer", add_bos_token=True)})

rows, same, seen = [], 0, 0
for name, files in F:
    folder = os.path.join(out, name)
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    model = None
    for file, v in files.items():
        if isinstance(v, bytes): model = v
        with open(os.path.join(folder, file), "wb") as f:
            f.write(v if isinstance(v, bytes) else (v if isinstance(v, str) else json.dumps(v, ensure_ascii=False)).encode())
    row = {"id": name}
    try:
        t = AutoTokenizer.from_pretrained(folder)
        row.update({"class": type(t).__name__, "special_tokens_map": {k: str(v) for k, v in t.special_tokens_map.items()},
                    "bos_id": t.bos_token_id, "eos_id": t.eos_token_id, "pad_id": t.pad_token_id, "unk_id": t.unk_token_id, "length": len(t), "texts": []})
        for s in TEXTS:
            e = t(s)
            plain = t(s, add_special_tokens=False)["input_ids"]
            row["texts"].append({"text": s, "input": {"input_ids": list(e["input_ids"])}, "plain": plain,
                                 "decode": t.decode(e["input_ids"]), "decode_skip": t.decode(e["input_ids"], skip_special_tokens=True)})
            if model:
                seen += 1
                same += spm.SentencePieceProcessor(model_proto=model).encode(s) == plain
        if t.pad_token is not None:
            e = t(TEXTS[:4], padding=True, truncation=True, max_length=12)
            row["batch"] = {"max_length": 12, "result": {"input_ids": [list(x) for x in e["input_ids"]]}}
    except Exception as x:
        row["error"] = f"{type(x).__name__}: {x}".replace(folder, "DIR")[:300]
    print(name, row.get("class"), row.get("error", ""))
    rows.append(row)
with open(os.path.join(out, "cases.jsonl"), "w", encoding="utf-8") as f:
    for r in rows: f.write(json.dumps(r, ensure_ascii=False) + "\n")
print(f"sentencepiece gives the same ids for {same} of {seen} texts")

"""Word and character models and what sentencepiece makes of texts with them.  usage: make_sentence_piece.py OUT_DIR SEED

Texts without U+2581 and without the names of control and user-defined pieces: those are other things to a tokenizer.json."""
import io, json, os, random, sys
import sentencepiece as spm

out, seed = sys.argv[1], int(sys.argv[2])
random.seed(seed)
SYL = "ka lo mi ren tu sha vel no pra gi est ond al ur che fo bi dal zem ".split()
WORDS = ["".join(random.choice(SYL) for _ in range(random.randint(1, 4))) for _ in range(120)] + ["Hello", "naïve", "日本語", "привет", "ﬁne", "Ⅻ"]
LINES = [" ".join(random.choice(WORDS) for _ in range(random.randint(3, 12))) for _ in range(600)]
TEXTS = ["", " ", "Hello", " Hello  naïve   日本語 ", "unseen words here", "Hello unseen words Hello", "a\tb\nc", "ﬁne Ⅻ", "x", "😀😀", "\u3000wide\u3000", "Hello\u00a0Hello", "don't Q Z 9"]
TEXTS += [" ".join(random.choice(WORDS + ["Zzz", "qq!"]) for _ in range(random.randint(1, 9))) for _ in range(20)]
MODELS = {
    "word": dict(model_type="word", vocab_size=90),
    "word_blanks": dict(model_type="word", vocab_size=90, remove_extra_whitespaces=False, add_dummy_prefix=False),
    "char": dict(model_type="char", vocab_size=40),
    "char_bytes": dict(model_type="char", vocab_size=300, byte_fallback=True, character_coverage=0.98),
    "char_blanks": dict(model_type="char", vocab_size=40, remove_extra_whitespaces=False),
}
os.makedirs(os.path.join(out, "models"), exist_ok=True)
with open(os.path.join(out, "cases.jsonl"), "w", encoding="utf-8") as f:
    for name, options in MODELS.items():
        model = io.BytesIO()
        options = dict({"normalization_rule_name": "identity", "character_coverage": 0.98}, **options)
        spm.SentencePieceTrainer.train(sentence_iterator=iter(LINES), model_writer=model, minloglevel=2, num_threads=1, **options)
        data = model.getvalue()
        open(os.path.join(out, "models", name + ".model"), "wb").write(data)
        processor = spm.SentencePieceProcessor(model_proto=data)
        rows = []
        for text in TEXTS:
            row = {"text": text, "ids": processor.encode(text)}
            if processor.unk_id() not in row["ids"]: row["decoded"] = processor.decode(row["ids"])
            rows.append(row)
        f.write(json.dumps({"model": name, "texts": rows}, ensure_ascii=False) + "\n")

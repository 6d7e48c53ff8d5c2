"""bench_tokenizer beside the tokenizers library on the same files, one thread each, in alternating runs.
usage: RAYON_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false python compare_tokenizers.py BENCH_BINARY PAIRS TEXT FILE.json...
A TEXT that does not exist is written first: 10 MB of what a Debian system has of prose, code and messages in many scripts."""
import gettext, glob, json, os, random, statistics, subprocess, sys, time
from tokenizers import Tokenizer

TEXT_BYTES = 10_000_000
DOCUMENT_BYTES = 16_384


def write_mixed_text(path):
    def contents(*patterns):
        for name in sorted(name for pattern in patterns for name in glob.glob(pattern, recursive=True)):
            try:
                if name.endswith(".mo"):
                    with open(name, "rb") as file:
                        yield "\n".join(text for text in gettext.GNUTranslations(file)._catalog.values() if isinstance(text, str))
                else:
                    yield open(name, encoding="utf-8").read()
            except (OSError, UnicodeDecodeError):
                pass

    prose = contents("/usr/share/common-licenses/*", "/usr/share/perl/**/*.pod", "/usr/share/doc/**/copyright")
    code = contents("/usr/lib/python3*/**/*.py", "/usr/include/c++/**/*.h")
    messages = contents("/usr/share/locale/*/LC_MESSAGES/*.mo")
    documents = []
    for source, share in ((prose, 0.4), (code, 0.3), (messages, 0.3)):
        left = int(TEXT_BYTES * share)
        while left > 0:
            text = next(source)[:200_000]
            documents.append(text)
            left -= len(text.encode())
    random.Random(1).shuffle(documents)
    with open(path, "wb") as file:
        file.write("\n".join(documents).encode()[:TEXT_BYTES].decode(errors="ignore").encode())


def parts(text, least_bytes):
    """Whole lines, as many as make at least so many bytes (as bench_tokenizer cuts)."""
    out, part, size = [], [], 0
    for line in text.split("\n"):
        part.append(line + "\n")
        size += len(line.encode()) + 1
        if size >= least_bytes:
            out.append("".join(part))
            part, size = [], 0
    return out + ["".join(part)] if part else out


def elapsed_ms(call):
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


binary, pairs, text_path, files = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
assert os.environ.get("RAYON_NUM_THREADS") == "1" and os.environ.get("TOKENIZERS_PARALLELISM") == "false"
if not os.path.exists(text_path):
    write_mixed_text(text_path)
text = open(text_path, encoding="utf-8", newline="").read()
megabytes = len(text.encode()) / 1e6
inputs = {"lines": parts(text, 1), "documents": parts(text, DOCUMENT_BYTES)}
print(f"{megabytes:.1f} MB, {len(inputs['lines'])} lines, {len(inputs['documents'])} documents, load average {os.getloadavg()[0]:.1f}", flush=True)
for path in files:
    ours, theirs, peak_mib = {}, {}, 0
    for _ in range(pairs):
        for line in subprocess.run([binary, "1", path, text_path], check=True, capture_output=True, text=True).stdout.splitlines():
            row = json.loads(line)
            ours.setdefault(row["case"], []).append(row["wall_ms"])
            peak_mib = max(peak_mib, row["peak_rss_mib"])
        tokenizer = Tokenizer.from_file(path)
        theirs.setdefault("load", []).append(elapsed_ms(lambda: Tokenizer.from_file(path)))
        for name, batch in inputs.items():
            theirs.setdefault(name + ", with offsets", []).append(elapsed_ms(lambda: tokenizer.encode_batch(batch)))
            theirs.setdefault(name + ", ids only", []).append(elapsed_ms(lambda: tokenizer.encode_batch_fast(batch)))
    size = os.path.getsize(path)
    print(f"{os.path.basename(path)}, {size / 1e6:.1f} MB; loading takes {peak_mib * 1.048576:.1f} MB, {peak_mib * 1048576 / size:.2f} times the file")
    for case, samples in theirs.items():
        ratio = statistics.median(b / a for a, b in zip(ours[case], samples))
        a, b = statistics.median(ours[case]), statistics.median(samples)
        rate = "" if case == "load" else f", {megabytes / a * 1000:.1f} and {megabytes / b * 1000:.1f} MB/s"
        print(f"  {case}: {a:.1f} and {b:.1f} ms{rate}, median ratio of {pairs} pairs {ratio:.2f}", flush=True)

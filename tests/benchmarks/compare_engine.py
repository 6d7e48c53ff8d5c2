"""`bigmodel run` beside transformers and accelerate on the same checkpoint, every run a process of its own, in turn.
usage: python compare_engine.py BIGMODEL FOLDER PAIRS MEMORY_LIMIT_BYTES SCRATCH_FOLDER [PART OF A CASE'S NAME]
FOLDER: a bfloat16 checkpoint of a causal language model (bigmodel init). The limit holds for the runs from disk, by a memory cgroup (as root), page
cache included: otherwise memory would hide the disk. The reference's offload folder is written to SCRATCH_FOLDER once. One JSON line a case at the end."""
import json, os, statistics, subprocess, sys, time

PROMPT, THREADS = 512, 2
CASES = {  # name: (the reference's mode, arguments of run, prompt, new tokens, limited)
    "decode, in RAM, beside torch": ("ram", ["--device-map", "cpu"], 4, 16, False),
    "prefill of 512, beside torch": ("ram", ["--device-map", "cpu"], PROMPT, 1, False),
    "decode, in RAM, beside cpu_offload": ("cpu_offload", ["--device-map", "cpu"], 4, 4, False),
    # Without a limit the page cache holds all that the reference reads.
    "decode, in RAM, beside disk_offload from the page cache": ("disk_offload", ["--device-map", "cpu"], 4, 5, False),
    "decode, from disk, beside disk_offload": ("disk_offload", ["--device-map", "disk"], 4, 3, True),
    # What fits into the limit beside the program stays in RAM, as who runs it would have it; the reference's rest is in the page cache.
    "decode, as much in RAM as the limit allows, beside disk_offload": ("disk_offload", ["--max-memory", "cpu=LIMIT"], 4, 5, True),
}


def reference(mode, folder, prompt, new, scratch):
    import torch
    from accelerate import cpu_offload, disk_offload, init_empty_weights
    from transformers import AutoConfig, AutoModelForCausalLM

    torch.set_num_threads(THREADS)
    torch.set_grad_enabled(False)
    if mode == "disk_offload":
        # Every weight in a file of its own, read for each module of each pass. The first call writes the files from the model in memory; later ones find
        # them and need no memory for it.
        offload = os.path.join(scratch, "offload")
        if os.path.exists(os.path.join(offload, "index.json")):
            with init_empty_weights():
                model = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), dtype=torch.bfloat16)
        else:
            model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        disk_offload(model, offload, execution_device=torch.device("cpu"))
    else:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
        if mode == "cpu_offload":
            cpu_offload(model, execution_device=torch.device("cpu"))
    model.eval()
    ids = torch.arange(7, 7 + prompt)[None] % 1000
    start = time.perf_counter()
    out = model(ids, use_cache=True, logits_to_keep=1)
    prefill = time.perf_counter() - start
    start = time.perf_counter()
    for _ in range(new - 1):
        out = model(out.logits[:, -1:].argmax(-1), past_key_values=out.past_key_values, use_cache=True)
    return {"prefill_s": prefill, "token_s": (time.perf_counter() - start) / max(new - 1, 1)}


def ours(binary, folder, arguments, prompt, new):
    ids = ",".join(str((7 + i) % 1000) for i in range(prompt))
    out = subprocess.run([binary, "run", folder, "--ids", ids, "--max-new-tokens", str(new), "--greedy", "--json", "--threads", str(THREADS), *arguments], check=True, capture_output=True)
    timings = json.loads(out.stdout)["timings"]
    return {"prefill_s": timings["prefill_ms"] / 1000, "token_s": (timings["decode_ms_per_token"] or 0) / 1000}


def limited(limit):
    """Puts this process into a memory cgroup of that size; to be called in a child."""
    old = "/sys/fs/cgroup/memory"   # cgroup 1
    group = os.path.join(old if os.path.isdir(old) else "/sys/fs/cgroup", "bigmodel-compare")
    os.makedirs(group, exist_ok=True)
    open(os.path.join(group, "memory.limit_in_bytes" if os.path.isdir(old) else "memory.max"), "w").write(str(limit))
    open(os.path.join(group, "cgroup.procs"), "w").write(str(os.getpid()))


def main():
    binary, folder, pairs, limit, scratch = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]
    subprocess.run([sys.executable, __file__, "child", json.dumps(["reference", "disk_offload", folder, 4, 1, scratch])], check=True)  # writes the folder
    for name, (mode, arguments, prompt, new, is_limited) in CASES.items():
        if len(sys.argv) > 6 and sys.argv[6] not in name:
            continue
        # Beside the budget: the program (20 MB) and this interpreter, which started it.
        arguments = [a.replace("LIMIT", str(limit - (48 << 20))) for a in arguments]
        key = "prefill_s" if new == 1 else "token_s"
        rows, killed = {"ours": [], "reference": []}, {"ours": 0, "reference": 0}
        for _ in range(pairs):
            for who, call in (("ours", ["ours", binary, folder, arguments, prompt, new]), ("reference", ["reference", mode, folder, prompt, new, scratch])):
                while True:
                    out = subprocess.run([sys.executable, __file__, "child", json.dumps(call), str(limit if is_limited else 0)], capture_output=True)
                    # The kernel ends who does not fit into the limit: the reference at times does, and is asked again.
                    if out.returncode != -9 or killed[who] == 8:
                        break
                    killed[who] += 1
                out.check_returncode()
                rows[who].append(json.loads(out.stdout.splitlines()[-1])[key])
        ratios = [b / a for a, b in zip(rows["ours"], rows["reference"])]
        print(json.dumps({"case": name, "pairs": pairs, "ours_s": round(statistics.median(rows["ours"]), 4), "reference_s": round(statistics.median(rows["reference"]), 4), "all_s": [[round(v, 3) for v in r] for r in rows.values()],
                          "times_faster": round(statistics.median(ratios), 2), "limit_bytes": limit if is_limited else None, "killed": killed}), flush=True)


if sys.argv[1] == "child":
    if len(sys.argv) > 3 and int(sys.argv[3]):
        limited(int(sys.argv[3]))
    call = json.loads(sys.argv[2])
    print(json.dumps((ours if call[0] == "ours" else reference)(*call[1:])))
else:
    main()

#!/usr/bin/env python3
"""Makes the records of this folder: what timm builds for its registered names, and for changed configs, without weights.

    make.py default OUT.jsonl [MODULE ...]    one record for each registered name
    make.py changed OUT.jsonl [MODULE ...]    a few names of each module file of timm under changed configs
    make.py digest IN.jsonl ... OUT.jsonl     the same as digests (README.md says of what)

MODULE is a file of timm.models, such as regnet. timm 1.0.31, torch 2.15.0, accelerate 1.15.0.
"""
import collections, copy, hashlib, json, logging, os, sys, warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)


def plain(value):
    if value is None or isinstance(value, (bool, int, float, str)): return value
    if isinstance(value, (list, tuple)): return [plain(v) for v in value]
    if isinstance(value, dict): return {k: plain(v) for k, v in value.items()}
    return str(value)


def build(name, **kwargs):
    """-> the record of one model; its parameters, and where that works its buffers, are on the meta device."""
    import timm
    from accelerate import init_empty_weights
    try:
        with init_empty_weights(include_buffers=True): m = timm.create_model(name, pretrained=False, **copy.deepcopy(kwargs))
    except Exception:
        with init_empty_weights(include_buffers=False): m = timm.create_model(name, pretrained=False, **copy.deepcopy(kwargs))
    dtype = lambda t: str(t.dtype).replace("torch.", "")
    buffers = []
    for n, b in m.named_buffers():
        owner, _, last = n.rpartition(".")
        buffers.append([n, list(b.shape), dtype(b), last not in m.get_submodule(owner)._non_persistent_buffers_set])
    seen, tied = {}, []
    for n, p in m.named_parameters(remove_duplicate=False):
        if id(p) in seen: tied.append([n, seen[id(p)]])
        else: seen[id(p)] = n
    return {"class": type(m).__name__, "params": [[n, list(p.shape), dtype(p)] for n, p in m.named_parameters()], "buffers": buffers,
            "tied": tied, "n_params": sum(p.numel() for p in m.parameters()), "modules": [n for n, _ in m.named_modules()]}


def config_of(name, args, record_changes):
    import timm
    cfg = timm.get_pretrained_cfg(name)
    cfg = cfg.to_dict() if cfg is not None else {}
    own = {k: cfg[k] for k in ("num_classes", "input_size", "fixed_input_size", "global_pool") if cfg.get(k) is not None}
    out = {"architecture": name, "pretrained_cfg": {**own, **record_changes}}
    if args: out["model_args"] = plain(args)
    return json.loads(json.dumps(out))


def changes(name, module):
    """[(arguments of the constructor, keys of the pretrained_cfg)], as a config.json states them."""
    import timm
    size = list((timm.get_pretrained_cfg(name).to_dict().get("input_size") or [3, 224, 224])[1:])
    out = [({"num_classes": 7}, {}), ({"in_chans": 1, "num_classes": 0}, {})]
    out += [({"global_pool": p, "num_classes": 5}, {}) for p in ("", "avg", "max", "catavgmax")]
    out += [({"img_size": [2 * size[0], 2 * size[1]]}, {}), ({"img_size": [2 * size[0], size[1]]}, {})]
    out += [({k: v}, {}) for k, v in (("mlp_ratio", 3.0), ("qkv_bias", False), ("width_factor", 1.5), ("class_token", False), ("depth", 3),
                                      ("depths", [1, 2, 1, 1]), ("layers", [1, 2, 1, 1]), ("embed_dim", 192), ("act_layer", "silu"))]
    out += [({}, {"num_classes": 11, "input_size": [4, *size]})]
    return out


def names_by_module(wanted):
    import timm
    from timm.models._registry import _model_to_module
    by = collections.defaultdict(list)
    for n in timm.list_models(): by[_model_to_module[n]].append(n)
    return {m: by[m] for m in sorted(by, key=lambda m: (-len(by[m]), m)) if not wanted or m in wanted}


def default(out, wanted):
    for module, names in names_by_module(wanted).items():
        for n in names:
            out.write(json.dumps({"config": {"architecture": n}, "module": module, **build(n)}) + "\n")


def changed(out, wanted):
    for module, names in names_by_module(wanted).items():
        for n in dict.fromkeys((names[0], names[len(names) // 2] if len(names) > 5 else names[0])):
            for args, record in changes(n, module):
                overlay = {"pretrained_cfg_overlay": {**record, "input_size": tuple(record["input_size"])}} if record else {}
                try: r = build(n, **args, **overlay)
                except Exception: continue          # an argument that this model does not take, or not so
                out.write(json.dumps({"config": config_of(n, args, record), "module": module, **r}) + "\n")
        out.flush()


def short(lines): return hashlib.sha256("".join(line + "\n" for line in lines).encode()).hexdigest()[:16]


def digest(out, paths):
    for path in paths:
        for line in open(path):
            r = json.loads(line)
            sizes = lambda s: ",".join(map(str, s))
            rows = [f"{n} {sizes(s)} {d}" for n, s, d in r["params"]] + [f"{n} {sizes(s)} {d} {'saved' if p else 'unsaved'}" for n, s, d, p in r["buffers"]]
            rows += sorted(f"{a} = {b}" for a, b in r["tied"])
            o = {"config": r["config"], "class": r["class"], "n_params": r["n_params"], "tensors": short(rows)}
            if not r["tied"]: o["modules"] = short(r["modules"])
            out.write(json.dumps(o, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    kind, rest = sys.argv[1], sys.argv[2:]
    if kind == "digest":
        with open(rest[-1], "w") as f: digest(f, rest[:-1])
    else:
        import torch
        torch.set_num_threads(1)
        with open(rest[0], "w") as f: (default if kind == "default" else changed)(f, rest[1:])

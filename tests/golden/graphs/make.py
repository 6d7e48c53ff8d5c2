#!/usr/bin/env python3
"""Makes records of this folder from stated configs: what transformers builds for them, without weights.

    make.py OUT.jsonl [TYPE ...]        one record for each config of cases.json, or of some types

Form: a tied tensor once, `tied` [name, kept name], `disk` what saving writes, `modules` [name, class], but not
of a network of timm's, nor of a case with a true behind it: there not all that is without tensors is described. transformers 5.23.0, timm 1.0.31,
torch 2.15.0, accelerate 1.15.0.
"""
import copy, importlib, json, os, sys, warnings

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
warnings.filterwarnings("ignore")
CASES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "cases.json")


def find_class(model_type, name):
    import transformers
    from transformers.models.auto.configuration_auto import model_type_to_module_name
    package = importlib.import_module(f"transformers.models.{model_type_to_module_name(model_type)}")
    return getattr(package, name, None) or getattr(transformers, name)


def build(cls, config):
    import torch
    from accelerate import init_empty_weights
    error = None
    for buffers in (True, False):           # some constructors compute with their buffers
        try:
            with init_empty_weights(include_buffers=buffers): return cls._from_config(copy.deepcopy(config), dtype=torch.float32)
        except Exception as e: error = error or e
    raise error


def record(model_type, name, values, tensors_only=False):
    from transformers import CONFIG_MAPPING
    from transformers.core_model_loading import revert_weight_conversion
    from transformers.modeling_utils import remove_tied_weights_from_state_dict
    values = {"model_type": model_type, **values, "architectures": [name]}
    model = build(find_class(model_type, name), CONFIG_MAPPING[model_type].from_dict(copy.deepcopy(values)))
    row = lambda n, t: [n, list(t.shape), str(t.dtype).removeprefix("torch.")]
    unsaved = {f"{p}.{n}" if p else n for p, m in model.named_modules(remove_duplicate=False) for n in m._non_persistent_buffers_set}
    kept, tied = {}, []
    for n, p in model.named_parameters(remove_duplicate=False):
        if id(p) in kept: tied.append([n, kept[id(p)]])
        else: kept[id(p)] = n
    state = model.state_dict()
    for key in model._keys_to_ignore_on_save or []: state.pop(key, None)
    state = revert_weight_conversion(model, remove_tied_weights_from_state_dict(state, model))
    modules = [(n, m) for n, m in model.named_modules(remove_duplicate=False)]
    out = {"model_type": model_type, "class": type(model).__name__, "config": values,
            "params": [row(n, p) for n, p in model.named_parameters()],
            "buffers": [[*row(n, b), n not in unsaved] for n, b in model.named_buffers(remove_duplicate=False)],
            "tied": tied, "no_split": sorted(model._no_split_modules or []),
            "disk": [row(n, t) for n, t in sorted(state.items())], "each_tensor_once": True}
    timm = any(type(m).__module__.startswith("timm.") for _, m in modules)
    if not tensors_only and not timm: out["modules"] = [[n, type(m).__name__] for n, m in modules]
    return out


if __name__ == "__main__":
    import torch
    torch.set_num_threads(1)
    wanted = sys.argv[2:]
    with open(sys.argv[1], "w") as out:
        for case in json.load(open(CASES)):
            if wanted and case[0] not in wanted: continue
            try: r = record(*case)
            except Exception as e:
                print(f"{case[0]} {json.dumps(case[2])[:300]}: {type(e).__name__} {str(e)[:300]}", file=sys.stderr)
                continue
            out.write(json.dumps(r, separators=(",", ":")) + "\n")
            out.flush()

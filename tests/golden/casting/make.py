# Logits under accelerate's layerwise casting: python make.py > expected.json (torch, transformers, accelerate, safetensors).
import json
import pathlib

import torch
from accelerate.big_modeling import attach_layerwise_casting_hooks
from transformers import AutoModelForCausalLM

torch.set_num_threads(1)
MODEL = pathlib.Path(__file__).parent.parent / "engine" / "llama-llama3"
IDS = [5, 9, 31, 7]
out = []
for storage in ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float16"]:
    for pattern in [None, ["mlp"], ["layers\\.0\\.", "lm_head$"]]:
        model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32, attn_implementation="eager").eval()
        attach_layerwise_casting_hooks(model, getattr(torch, storage), torch.float32, skip_modules_pattern=pattern)
        with torch.no_grad():
            first = model(torch.tensor([IDS])).logits
            again = model(torch.tensor([IDS])).logits
        assert torch.equal(first, again)
        kept = [n for n, p in model.named_parameters() if p.dtype == getattr(torch, storage)]
        out.append({"storage_dtype": storage, "skip_modules_pattern": pattern or [], "stored": kept, "logits": [float(x) for x in first[0, -1]]})
print(json.dumps({"ids": IDS, "cases": out}))

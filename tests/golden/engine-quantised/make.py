# Makes tiny quantised checkpoints and what they must answer. Arguments: the folder that they go to.
import json, os, sys, torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, Qwen3Config, GptOssConfig, LlamaConfig
out = sys.argv[1]
torch.manual_seed(7)
def base(cfg):
    torch.manual_seed(7)
    m = AutoModelForCausalLM.from_config(cfg, dtype=torch.float32, attn_implementation="eager").eval()
    for p in m.parameters():
        p.data = (torch.randn_like(p) * (0.15 if p.dim() > 1 else 0.05) + (1 if p.dim() == 1 and p.std() == 0 else 0)).bfloat16().float()
    return m
def write(name, cfg_json, tensors, model):
    d = os.path.join(out, name); os.makedirs(d, exist_ok=True)
    json.dump(cfg_json, open(os.path.join(d, "config.json"), "w"), indent=1)
    open(os.path.join(d, "expected.json"), "w").write("{}\n")
    save_file({k: v.contiguous() for k, v in tensors.items()}, os.path.join(d, "model.safetensors"), metadata={"format": "pt"})
    return d
def expect(d, model):
    torch.manual_seed(3)
    ids = torch.randint(3, 60, (1, 11))
    with torch.no_grad():
        logits = model(ids).logits.float()
        cur = ids
        for _ in range(8): cur = torch.cat([cur, model(cur).logits[:, -1:].argmax(-1)], 1)
    save_file({"input_ids": ids, "logits": logits.contiguous(), "greedy_ids": cur[0, 11:].contiguous()}, os.path.join(d, "expected.safetensors"))
    print(d, logits.abs().max().item(), cur[0, 11:].tolist())
# --- fp8 in blocks, the last ones partial
cfg = Qwen3Config(vocab_size=64, hidden_size=48, intermediate_size=40, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, head_dim=12, max_position_embeddings=64, tie_word_embeddings=False)
m = base(cfg)
B = 32
def fp8(w):
    r, c = w.shape; R, C = -(-r // B), -(-c // B)
    pad = torch.zeros(R * B, C * B); pad[:r, :c] = w
    blocks = pad.view(R, B, C, B)
    s = blocks.abs().amax((1, 3)) / 448
    q = (blocks / s[:, None, :, None]).view(R * B, C * B)[:r, :c].to(torch.float8_e4m3fn)
    full = s.repeat_interleave(B, 0).repeat_interleave(B, 1)[:r, :c]
    return q, s, q.float() * full
t = {}
for k, p in m.state_dict().items():
    if p.dim() == 2 and "proj" in k:
        q, s, d = fp8(p); t[k] = q; t[k + "_scale_inv"] = s; p.copy_(d)
    else: t[k] = p.bfloat16(); p.copy_(p.bfloat16())
j = json.loads(cfg.to_json_string(use_diff=False)); j["architectures"] = ["Qwen3ForCausalLM"]
j["quantization_config"] = {"quant_method": "fp8", "activation_scheme": "dynamic", "fmt": "e4m3", "weight_block_size": [B, B]}
d = write("fp8", j, t, m); expect(d, m)
# --- mxfp4
cfg = GptOssConfig(vocab_size=64, hidden_size=64, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=16, num_local_experts=3, num_experts_per_tok=2, sliding_window=6, max_position_embeddings=64, rope_parameters={"rope_type": "default", "rope_theta": 10000.0}, layer_types=["sliding_attention", "full_attention"])
m = base(cfg)
from transformers.integrations.mxfp4 import convert_moe_packed_tensors
t = {}
sd = m.state_dict()
for k, p in sd.items():
    if k.endswith(("gate_up_proj", "down_proj")):
        E, I, O = p.shape
        blocks = torch.randint(0, 256, (E, O, I // 32, 16), dtype=torch.uint8)
        scales = torch.randint(119, 126, (E, O, I // 32), dtype=torch.uint8)
        t[k + "_blocks"] = blocks; t[k + "_scales"] = scales
        p.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
    else: t[k] = p.bfloat16()
j = json.loads(cfg.to_json_string(use_diff=False)); j["architectures"] = ["GptOssForCausalLM"]
j["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["model.layers.*.self_attn", "lm_head"]}
d = write("mxfp4", j, t, m); expect(d, m)
# --- int8, two ways
cfg = LlamaConfig(vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64)
for name, scale_name, quant in (("bitsandbytes", "SCB", {"quant_method": "bitsandbytes", "load_in_8bit": True, "load_in_4bit": False, "llm_int8_threshold": 6.0}),
                                ("compressed-tensors", "weight_scale", {"quant_method": "compressed-tensors", "format": "int-quantized", "quantization_status": "compressed", "config_groups": {"group_0": {"targets": ["Linear"], "weights": {"num_bits": 8, "type": "int", "symmetric": True, "strategy": "channel"}}}, "ignore": ["lm_head"]})):
    m = base(cfg); t = {}
    for k, p in m.state_dict().items():
        if p.dim() == 2 and "proj" in k:
            top = p.abs().amax(1)
            q = torch.round(p * (127 / top[:, None])).to(torch.int8)
            t[k] = q
            if scale_name == "SCB":
                t[k[:-6] + "SCB"] = top; t[k[:-6] + "weight_format"] = torch.zeros((), dtype=torch.uint8); p.copy_(q.float() * (top / 127)[:, None])
            else:
                s = (top / 127).bfloat16()[:, None]; t[k + "_scale"] = s; p.copy_(q.float() * s.float())
        else: t[k] = p.half() if scale_name == "SCB" else p.bfloat16()
    for k, p in m.state_dict().items():
        if k in t and t[k].dtype in (torch.float16, torch.bfloat16): p.copy_(t[k].float())
    j = json.loads(cfg.to_json_string(use_diff=False)); j["architectures"] = ["LlamaForCausalLM"]; j["quantization_config"] = quant
    d = write(name, j, t, m); expect(d, m)

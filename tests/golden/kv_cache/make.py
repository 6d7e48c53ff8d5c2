"""Measures the caches that transformers fills: one JSON line per (tiny config, cache class, dtype, lengths).

Run: python make.py > hf_caches.jsonl          the cases below
     python make.py --all > hf_caches_all.jsonl    every other type with a causal or sequence-to-sequence class, its default config made small
(transformers 5.23.0, torch 2.15.0 on a CPU; seed 0; weights are random and do not matter)
"""
import importlib.util
import json
import pathlib
import signal
import sys
import warnings

import torch
import transformers
from transformers import AutoConfig, DynamicCache, EncoderDecoderCache, StaticCache
from transformers.models.auto import modeling_auto as auto

torch.set_num_threads(1)
warnings.simplefilter("ignore")
transformers.logging.set_verbosity_error()

H = dict(vocab_size=97, hidden_size=48, num_hidden_layers=3, num_attention_heads=6, intermediate_size=64, max_position_embeddings=256)
G = dict(num_key_value_heads=2)
MOE = dict(num_local_experts=4, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, shared_expert_intermediate_size=16)
NO_PAD = dict(pad_token_id=0, bos_token_id=1, eos_token_id=2)
MLA = dict(kv_lora_rank=12, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=10, q_lora_rank=16, n_routed_experts=4, n_group=1,
           topk_group=1, num_experts_per_tok=2, moe_intermediate_size=16, n_shared_experts=1, first_k_dense_replace=1,
           num_key_value_heads=6, head_dim=4)

CASES = [
    ("gpt2", dict(vocab_size=97, n_embd=48, n_layer=3, n_head=6, n_positions=256)),
    ("gpt2", dict(vocab_size=97, n_embd=48, n_layer=2, n_head=6, n_positions=256, add_cross_attention=True, is_decoder=True)),
    ("gpt_neo", dict(vocab_size=97, hidden_size=48, num_layers=4, num_heads=6, attention_types=[[["global", "local"], 2]], window_size=4,
                     max_position_embeddings=256)),
    ("gptj", dict(vocab_size=97, n_embd=48, n_layer=2, n_head=6, rotary_dim=4, n_positions=256)),
    ("gpt_bigcode", dict(vocab_size=97, n_embd=48, n_layer=2, n_head=6, n_positions=256)),
    ("gpt_bigcode", dict(vocab_size=97, n_embd=48, n_layer=2, n_head=6, n_positions=256, multi_query=False)),
    ("codegen", dict(vocab_size=97, n_embd=64, n_layer=2, n_head=4, rotary_dim=4, n_positions=256)),
    ("bloom", dict(vocab_size=97, hidden_size=48, n_layer=2, n_head=6)),
    ("falcon", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=6)),
    ("falcon", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, multi_query=False, alibi=True)),
    ("falcon", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, new_decoder_architecture=True, num_kv_heads=2)),
    ("mpt", dict(vocab_size=97, d_model=48, n_layers=2, n_heads=6, max_seq_len=256)),
    ("gpt_neox", dict(H)),
    ("opt", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, num_attention_heads=6, ffn_dim=64, word_embed_proj_dim=32)),
    ("llama", dict(H, **G)),
    ("llama", dict(H, num_key_value_heads=2, head_dim=12)),
    ("mistral", dict(H, **G, sliding_window=5)),
    ("mistral", dict(H, **G, sliding_window=None)),
    ("mixtral", dict(H, **G, **MOE)),
    ("qwen2", dict(H, **G, use_sliding_window=True, sliding_window=4, max_window_layers=1)),
    ("qwen2", dict(H, **G, sliding_window=4)),
    ("qwen2_moe", dict(H, **G, **MOE)),
    ("qwen3", dict(H, **G, head_dim=16)),
    ("qwen3_moe", dict(H, **G, **MOE, head_dim=16)),
    ("gpt_oss", dict(H, **G, **MOE, head_dim=16, sliding_window=4)),
    ("gemma", dict(H, **G, head_dim=16, **NO_PAD)),
    ("gemma2", dict(H, **G, head_dim=16, sliding_window=4, **NO_PAD)),
    ("gemma3_text", dict(H, **G, head_dim=16, sliding_window=4, **{**NO_PAD}) | dict(num_hidden_layers=7)),
    ("cohere", dict(H, **G, **NO_PAD)),
    ("cohere2", dict(H, **G, sliding_window=4, **NO_PAD) | dict(num_hidden_layers=5)),
    ("phi", dict(H, **G, **NO_PAD)),
    ("phi3", dict(H, **G, sliding_window=6, **NO_PAD)),
    ("phimoe", dict(H, **G, **MOE, sliding_window=6)),
    ("stablelm", dict(H, **G, **NO_PAD)),
    ("glm", dict(H, **G, head_dim=8, **NO_PAD)),
    ("glm4", dict(H, **G, head_dim=8, **NO_PAD)),
    ("starcoder2", dict(H, **G, sliding_window=6, **NO_PAD)),
    ("olmo", dict(H, **G, **NO_PAD)),
    ("olmo2", dict(H, **G, **NO_PAD)),
    ("granite", dict(H, **G, **NO_PAD)),
    ("nemotron", dict(H, **G, head_dim=8, **NO_PAD)),
    ("persimmon", dict(H, **NO_PAD)),
    ("biogpt", dict(H)),
    ("xglm", dict(vocab_size=97, d_model=48, num_layers=2, attention_heads=6, ffn_dim=64, max_position_embeddings=256)),
    ("deepseek_v3", dict(H, **MLA)),
    ("deepseek_v2", dict(H, **{**MLA, "q_lora_rank": None})),
    ("minicpm3", dict(H, num_key_value_heads=6, kv_lora_rank=12, q_lora_rank=16, qk_rope_head_dim=4, qk_nope_head_dim=8, v_head_dim=8)),
    ("smollm3", dict(H, **G, **NO_PAD)),
    ("exaone4", dict(H, **G, sliding_window=4, sliding_window_pattern=2, **NO_PAD)),
    ("seed_oss", dict(H, **G, head_dim=8)),
    ("mamba", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, state_size=6, conv_kernel=4)),
    ("falcon_mamba", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, state_size=6, conv_kernel=4)),
    ("mamba2", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, state_size=8, num_heads=6, head_dim=16, n_groups=2, conv_kernel=4,
                    chunk_size=8)),
    ("jamba", dict(H, **G, num_experts=4, num_experts_per_tok=2, attn_layer_period=3, attn_layer_offset=1, mamba_d_state=6,
                   use_mamba_kernels=False, **NO_PAD)),
    ("bamba", dict(H, **G, attn_layer_indices=[1], mamba_n_heads=6, mamba_d_head=16, mamba_d_state=8, mamba_n_groups=2, mamba_chunk_size=8,
                   **NO_PAD)),
    ("lfm2", dict(H, **G, layer_types=["conv", "full_attention", "conv"], block_auto_adjust_ff_dim=False)),
    ("qwen3_next", dict(H, **G, **MOE, head_dim=16, linear_num_key_heads=2, linear_num_value_heads=4, linear_key_head_dim=8,
                        linear_value_head_dim=10, linear_conv_kernel_dim=4) | dict(num_hidden_layers=4)),
    ("zamba2", dict(H, layers_block_type=["linear_attention", "hybrid", "linear_attention"], num_key_value_heads=6, mamba_d_state=8, n_mamba_heads=6, mamba_ngroups=1,
                    num_mem_blocks=1, mamba_headdim=16, chunk_size=8, use_mamba_kernels=False)),
    ("rwkv", dict(vocab_size=97, hidden_size=48, num_hidden_layers=2, context_length=256)),
    ("t5", dict(vocab_size=97, d_model=48, d_kv=8, d_ff=64, num_layers=3, num_decoder_layers=2, num_heads=6)),
    ("mt5", dict(vocab_size=97, d_model=48, d_kv=8, d_ff=64, num_layers=2, num_heads=6)),
    ("bart", dict(vocab_size=97, d_model=48, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=6,
                  encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=256)),
    ("pegasus", dict(vocab_size=97, d_model=48, encoder_layers=1, decoder_layers=2, encoder_attention_heads=4, decoder_attention_heads=6,
                     encoder_ffn_dim=64, decoder_ffn_dim=64, max_position_embeddings=256)),
    ("whisper", dict(vocab_size=97, d_model=48, encoder_layers=1, decoder_layers=2, encoder_attention_heads=6, decoder_attention_heads=6,
                     encoder_ffn_dim=64, decoder_ffn_dim=64, max_source_positions=20, max_target_positions=64, num_mel_bins=8, **NO_PAD,
                     decoder_start_token_id=1)),
    ("bert", dict(H, is_decoder=True)),
    ("gemma3n_text", dict(H, **G, head_dim=16, sliding_window=4, num_kv_shared_layers=2, vocab_size_per_layer_input=97, hidden_size_per_layer_input=8,
                          laurel_rank=8, altup_num_inputs=2, activation_sparsity_pattern=[0.0] * 5,
                          layer_types=["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"], **NO_PAD)
     | dict(num_hidden_layers=5)),
    ("gemma4_text", dict(H, **G, head_dim=8, global_head_dim=16, num_global_key_value_heads=1, attention_k_eq_v=True, sliding_window=4, num_kv_shared_layers=2,
                         vocab_size_per_layer_input=97, hidden_size_per_layer_input=8,
                         layer_types=["sliding_attention", "full_attention", "sliding_attention", "sliding_attention", "full_attention"], **NO_PAD)
     | dict(num_hidden_layers=5)),
    ("deepseek_v4", dict(vocab_size=97, hidden_size=48, num_hidden_layers=3, num_attention_heads=4, head_dim=16, q_lora_rank=16, o_groups=2, o_lora_rank=8,
                         index_n_heads=2, index_head_dim=8, index_topk=4, n_routed_experts=4, num_experts_per_tok=2, moe_intermediate_size=16, sliding_window=4,
                         num_hash_layers=0, qk_rope_head_dim=8, compress_rates={"compressed_sparse_attention": 4, "heavily_compressed_attention": 6},
                         layer_types=["sliding_attention", "heavily_compressed_attention", "compressed_sparse_attention"], max_position_embeddings=256)),
]


def other_cases():
    """The types that CASES leaves out, each with the small configuration that the run cases use."""
    path = pathlib.Path(__file__).resolve().parents[2] / "engine" / "make_cases.py"
    spec = importlib.util.spec_from_file_location("make_cases", path)
    small = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(small)
    # trocr's decoder caches its cross-attention as well, where the run gives it an encoder's states.
    done = {model_type for model_type, _ in CASES} | {"trocr"}
    names = set(auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES) | set(auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    for model_type in sorted(names - done):
        try:
            yield model_type, {**small.small_config(model_type), **small.OWN.get(model_type, {})}
        except Exception as e:
            print(f"{model_type}: {type(e).__name__}: {str(e)[:150]}", file=sys.stderr, flush=True)


def measured(value):
    """Bytes of the distinct tensors below a cache layer, without 0-d counters."""
    seen, total, stack = set(), 0, [value]
    while stack:
        v = stack.pop()
        if isinstance(v, torch.Tensor):
            if v.dim() >= 2 and id(v) not in seen:
                seen.add(id(v))
                total += v.numel() * v.element_size()
        elif isinstance(v, dict):
            stack.extend(v.values())
        elif isinstance(v, (list, tuple)):
            stack.extend(v)
        elif hasattr(v, "__dict__") and type(v).__module__.startswith("transformers"):
            stack.extend(v.__dict__.values())
    return total


def layers_of(cache):
    if isinstance(cache, EncoderDecoderCache):
        return [measured(l) for l in cache.self_attention_cache.layers], [measured(l) for l in cache.cross_attention_cache.layers]
    if hasattr(cache, "layers"):
        return [measured(l) for l in cache.layers], []
    return [measured(cache)], []


def model_of(config):
    names = (auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES if not config.is_encoder_decoder else auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
    if config.model_type == "whisper":
        names = auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING_NAMES
    return getattr(transformers, names[config.model_type])


def run(model_type, given, dtype, kind, batch, prompt, steps):
    config = AutoConfig.for_model(model_type, **given)
    config._attn_implementation = "eager"
    cls = model_of(config)
    torch.manual_seed(0)
    model = cls(config).to(dtype).eval()
    record = {"config": {"model_type": model_type, **given}, "class": cls.__name__, "dtype": str(dtype).split(".")[1], "cache": kind,
              "batch": batch, "tokens": prompt + steps}
    inputs, extra = {}, {}
    if model_type == "whisper":
        inputs["input_features"] = torch.zeros(batch, config.num_mel_bins, 2 * config.max_source_positions, dtype=dtype)
        record["encoder_tokens"] = config.max_source_positions
    elif config.is_encoder_decoder:
        inputs["input_ids"] = torch.randint(3, 90, (batch, 7))
        record["encoder_tokens"] = 7
    elif given.get("add_cross_attention"):
        extra["encoder_hidden_states"] = torch.zeros(batch, 7, config.hidden_size, dtype=dtype)
        record["encoder_tokens"] = 7
    key = "decoder_input_ids" if config.is_encoder_decoder else "input_ids"
    cache, name = None, "past_key_values"
    if kind == "static":
        record["max_cache_len"] = prompt + steps + 9
        text = config.get_text_config(decoder=True)
        cache = StaticCache(config=text, max_cache_len=record["max_cache_len"])
        if config.is_encoder_decoder or given.get("add_cross_attention"):
            cache = EncoderDecoderCache(cache, StaticCache(config=text, max_cache_len=record["encoder_tokens"]))
    with torch.no_grad():
        for length in [prompt] + [1] * steps:
            args = {key: torch.randint(3, 90, (batch, length)), "use_cache": True, **inputs, **extra}
            if model_type == "rwkv":
                if cache is not None:
                    args["state"] = cache
            elif cache is not None:
                args[name] = cache
            out = model(**args)
            for field in ("past_key_values", "cache_params", "state"):
                if getattr(out, field, None) is not None:
                    cache, name = getattr(out, field), field
    own, cross = layers_of(cache)
    record["layers"] = own
    if cross:
        record["cross_layers"] = cross
    record["bytes"] = sum(own) + sum(cross)
    return record


def give_up(signal_number, frame):
    raise TimeoutError("too slow")


def main():
    every = "--all" in sys.argv
    signal.signal(signal.SIGALRM, give_up)
    for model_type, given in other_cases() if every else CASES:
        for dtype in (torch.float32, torch.bfloat16):
            for kind in ("dynamic",) if every else ("dynamic", "static"):
                batch, prompt, steps = (2, 11, 3) if kind == "dynamic" else (3, 6, 2)
                if dtype == torch.bfloat16:
                    batch, prompt, steps = 1, 3, 1
                try:
                    signal.alarm(60)
                    record = run(model_type, given, dtype, kind, batch, prompt, steps)
                    signal.alarm(0)
                    print(json.dumps(record), flush=True)
                except Exception as e:  # a class of cache that the type does not take
                    signal.alarm(0)
                    print(f"{model_type} {kind} {dtype}: {type(e).__name__}: {str(e)[:150]}", file=sys.stderr, flush=True)


main()

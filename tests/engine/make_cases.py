#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a small random model, and what transformers answers with it, for every type and class that the engine says it runs.

usage: make_cases.py --types TYPES.json --maker make_run_goldens.py --work DIR [--only REGEX] [--seed N] [--tries N] [--omit-defaults] [--tiny]
       BIGMODEL_RUN_CASES=DIR bigmodel_engine_tests -tc='*cases of a folder*'

TYPES.json is the output of `bigmodel doctor --types --json`. The maker is that of the run goldens (shared/goldens/run): it draws the weights,
runs the reference in float32, float64 and bfloat16, and writes the cases; this script chooses classes, inputs and configurations: every
number of the type's default configuration that makes a model large becomes small, and numbers that must fit each other keep doing so.
Needs torch and transformers, so it is no part of the tests; what it finds is in docs/types-compared.md.
"""
import argparse, gc, importlib, importlib.util, inspect, json, os, re, signal, sys, traceback, warnings

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
warnings.filterwarnings("ignore")

TINY = "--tiny" in sys.argv
WIDTH, HEADS, KV, HEAD, INNER, VOCAB, LENGTH = (16, 4, 2, 4, 24, 40, 64) if TINY else (48, 4, 2, 16, 64, 120, 64)
# What the keys of configurations mean, by name; the first pattern that fits wins.
SMALL = [
    (r"^(.*_)?vocab_size$|^src_vocab_size$|^tgt_vocab_size$", VOCAB),
    (r"^type_vocab_size$", 2),
    (r"^(num_(hidden_)?layers|n_layers?|encoder_layers|decoder_layers|num_encoder_layers|num_decoder_layers|depth|num_blocks|encoder_num_hidden_layers|decoder_num_hidden_layers)$", 2),
    (r"^(num_attention_heads|n_heads?|num_heads|attention_heads|encoder_attention_heads|decoder_attention_heads|encoder_num_attention_heads|decoder_num_attention_heads)$", HEADS),
    (r"^(num_key_value_heads|num_kv_heads|multi_query_group_num|encoder_num_key_value_heads|decoder_num_key_value_heads)$", "kv"),
    (r"^(head_dim|attention_head_dim|global_head_dim|d_kv|kv_channels)$", HEAD),
    (r"^(hidden_size|d_model|n_embd|dim|embed_dim|emb_dim|hidden_dim|n_embed|hidden_channels)$", WIDTH),
    (r"^(embedding_size|word_embed_proj_dim)$", 24),
    (r"^(intermediate_size|ffn_dim|d_ff|n_inner|ffn_hidden_size|encoder_ffn_dim|decoder_ffn_dim|d_inner|inner_dim|ffn_intermediate_size)$", INNER),
    (r"^(moe_intermediate_size|shared_expert_intermediate_size|shared_intermediate_size|expert_ffn_hidden_size)$", 24),
    (r"^(max_(source_|target_)?position(_embedding)?s|max_position_embeddings|n_positions|n_ctx|max_seq_len|max_sequence_length|context_length|seq_length|max_(en|de)coder_position_embeddings)$", LENGTH),
    (r"^(num_experts|num_local_experts|n_routed_experts|moe_num_experts)$", 4),
    (r"^(num_experts_per_tok|num_experts_per_token|moe_topk|moe_k|top_k_experts)$", 2),
    (r"^(n_group|topk_group)$", 1),
    (r"^(sliding_window|window_size|attention_window|local_attention|attention_window_size)$", 5),
    (r"^(attention_chunk_size)$", 6),
    (r"^(q_lora_rank)$", 20), (r"^(kv_lora_rank)$", 16), (r"^(qk_nope_head_dim|v_head_dim)$", 12), (r"^(qk_rope_head_dim)$", 8),
    (r"^(image_size)$", 24), (r"^(patch_size)$", 8), (r"^(projection_dim|text_embed_dim|vision_embed_dim)$", 24),
    (r"^(mamba_d_state|ssm_state_size|state_size|linear_key_head_dim|linear_value_head_dim|mamba_d_head|mamba_head_dim|mamba_headdim)$", 8),
    (r"^(mamba_n_heads|mamba_num_heads)$", 12), (r"^(mamba_d_ssm)$", 96), (r"^(linear_num_key_heads)$", 2), (r"^(linear_num_value_heads)$", 4),
    (r"^(n_mamba_heads)$", 2), (r"^(mamba_ngroups|mamba_n_groups)$", 2), (r"^(chunk_size|mamba_chunk_size)$", 8), (r"^(time_step_rank|mamba_dt_rank)$", 4),
    (r"^(num_mel_bins)$", 8), (r"^conv_dim$", [16, 16, 16]), (r"^conv_stride$", [5, 2, 2]), (r"^conv_kernel$", [8, 3, 3]),
    (r"^num_feat_extract_layers$", 3), (r"^num_conv_pos_embeddings$", 9), (r"^num_conv_pos_embedding_groups$", 4),
    (r"^rotary_dim$", 8), (r"^num_labels$", 3), (r"^(lm_head_rank|lora_rank)$", 8),
]


def small_value(key, old, config):
    """The small number for a key of a configuration, or `old`."""
    if old is None or isinstance(old, (bool, str)):
        return old
    for pattern, value in SMALL:
        if not re.search(pattern, key):
            continue
        if isinstance(value, list) != isinstance(old, (list, tuple)):
            return old
        if value == "kv":
            heads = next((config[k] for k in ("num_attention_heads", "n_head", "num_heads") if isinstance(config.get(k), int)), None)
            return HEADS if heads is None or old == heads else 1 if old == 1 else KV
        return value
    return old


def small_config(type_name, depth=0):
    """Arguments of the type's configuration class that make it small."""
    from transformers import CONFIG_MAPPING
    from transformers.configuration_utils import PretrainedConfig
    config = CONFIG_MAPPING[type_name]()
    return small_of(config, PretrainedConfig)


def small_of(config, base):
    values = {k: v for k, v in vars(config).items() if not k.startswith("_")}
    out = {}
    for key, old in values.items():
        if isinstance(old, base):
            out[key] = {**small_of(old, base), "model_type": old.model_type}
            continue
        new = small_value(key, old, values)
        if new != old:
            out[key] = new
    layers = next((out[k] for k in ("num_hidden_layers", "num_layers", "n_layer", "n_layers") if k in out), None)
    kinds = values.get("layer_types") or values.get("layers_block_type")
    if layers and isinstance(kinds, (list, tuple)) and kinds:
        # One layer of each kind, in their order, and one more of the first.
        chosen = list(dict.fromkeys(kinds)) + [kinds[0]]
        name = "layer_types" if values.get("layer_types") else "layers_block_type"
        out[name] = chosen
        for k in ("num_hidden_layers", "num_layers", "n_layer", "n_layers"):
            if k in out:
                out[k] = len(chosen)
    for key in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id", "cls_token_id", "sep_token_id"):
        old = values.get(key)
        if isinstance(old, int) and old >= VOCAB:
            out[key] = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "decoder_start_token_id": 2}.get(key, 3)
        if isinstance(old, (list, tuple)) and old and key == "eos_token_id":
            out[key] = 2
    rope = values.get("rope_parameters")
    if isinstance(rope, dict) and rope.get("mrope_section"):
        out["rope_parameters"] = {**rope, "mrope_section": [2, 3, 3]}
    return out


# What no rule by name can know. Values replace those of small_config.
OWN = {
    "falcon_h1": dict(mamba_d_ssm=96, mamba_n_heads=12, mamba_d_head=8, key_multiplier=0.7, lm_head_multiplier=0.8, embedding_multiplier=1.7, attention_in_multiplier=0.9, attention_out_multiplier=1.2,
                      ssm_in_multiplier=1.1, ssm_out_multiplier=0.8, ssm_multipliers=[0.9, 1.1, 1.2, 0.8, 0.7], mlp_multipliers=[0.8, 1.3]),
    # Its decoder has no causal mask in a pass that may use the cache, though it was trained with one: the record is of a pass without.
    "fsmt": dict(use_cache=False),
    "ministral": dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "hunyuan_v1_moe": dict(rope_parameters={"rope_type": "default", "rope_theta": 10000.0}),
    "dots1": dict(n_routed_experts=4, num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=24, first_k_dense_replace=1),
    "youtu": dict(head_dim=8),
    "longcat_flash": dict(head_dim=8),
    "nemotron_h": dict(n_groups=2),
    # Their sections have a default in code that no small head fits.
    **{t: dict(rope_parameters={"rope_type": "default", "rope_theta": 1000000.0, "mrope_section": [2, 2, 2]}) for t in ("qwen2_vl_text", "qwen2_5_vl_text", "qwen2_5_omni_text")},
    "zaya": dict(num_experts_per_tok=1),
    "lfm2_moe": dict(layer_types=["conv", "full_attention", "conv"], num_hidden_layers=3),
    "granitemoehybrid": dict(layer_types=["mamba", "attention", "mamba"], num_hidden_layers=3),
    "dpr": dict(projection_dim=0),
    **{t: dict(decoder_start_token_id=2) for t in ("mbart", "plbart")},
}

# Further configurations of a type, one case more each; `case` is said to the maker.
_TEXT_DECODER = [dict(scale_embedding=True, tie_word_embeddings=False, decoder_attention_heads=2), dict(scale_embedding=False, activation_function="relu", encoder_layers=3, decoder_layers=3)]
MORE = {
    **{t: _TEXT_DECODER for t in ("bart", "mbart", "pegasus", "marian", "blenderbot", "blenderbot-small", "mvp", "plbart")},
    "bigbird_pegasus": [dict(use_bias=True, scale_embedding=False, activation_function="relu", encoder_layers=3, decoder_layers=3), dict(decoder_attention_heads=2, activation_function="gelu", d_model=40)],
    "trocr": [dict(use_learned_position_embeddings=False, scale_embedding=True), dict(layernorm_embedding=False, cross_attention_hidden_size=24, activation_function="relu"),
              dict(use_learned_position_embeddings=False, layernorm_embedding=False, tie_word_embeddings=False, decoder_layers=3, decoder_attention_heads=2)],
    "dpr": [dict(projection_dim=24, vocab_size=9, case=dict(nomask=True, lo=0)), dict(projection_dim=0, hidden_act="relu", num_hidden_layers=3, num_attention_heads=2, layer_norm_eps=1e-5)],
    "ijepa": [dict(qkv_bias=False, hidden_act="relu", num_attention_heads=2), dict(image_size=32, num_hidden_layers=3, layer_norm_eps=1e-5, num_labels=7)],
    **{t: [dict(hidden_act="gelu", num_attention_heads=2), dict(image_size=32, num_hidden_layers=3, layer_norm_eps=1e-3)] for t in ("owlvit_vision_model", "owlv2_vision_model")},
    **{t: [dict(hidden_act="gelu", num_attention_heads=2, num_hidden_layers=3)] for t in ("owlvit_text_model", "owlv2_text_model")},
    "qwen2_vl_vision": [dict(hidden_act="gelu", num_heads=2, spatial_merge_size=1, mlp_ratio=2), dict(temporal_patch_size=1, spatial_merge_size=3, depth=3, in_channels=1),
                        dict(embed_dim=32, hidden_size=24, rope_parameters={"rope_type": "axial", "rope_theta": 500.0})],
}


def kind_of(cls, config):
    """How a class is called: a kind of the maker, or None."""
    name = cls.__name__
    main = getattr(cls, "main_input_name", "input_ids")
    if name.endswith("ForCausalLM") and cls.can_generate():
        return "decoder"
    if hasattr(config, "text_config") and hasattr(config, "vision_config"):
        return "two-tower" if getattr(config, "projection_dim", None) or "SiglipModel" in name else None
    inputs = inspect.signature(cls.forward).parameters
    if main == "pixel_values" or ("pixel_values" in inputs and "input_ids" not in inputs):
        return "vision"
    if "grid_thw" in inputs:
        return "patches"
    if main in ("input_values",):
        return "audio"
    if main in ("input_features",):
        return None if not getattr(config, "is_encoder_decoder", False) else "seq2seq"
    if getattr(config, "is_encoder_decoder", False) and not name.endswith(("Encoder", "Decoder")):
        return "seq2seq" if re.search(r"ForConditionalGeneration|MTModel$|ForSeq2Seq|LMHead", name) else None
    if re.search(r"ForCausalLM|LMHead|ForGeneration", name) and cls.can_generate():
        return "decoder"
    return "encoder"


def class_of(type_name, name):
    """The reference's class of that name: exported, or in the type's own modeling file."""
    import transformers
    from transformers import CONFIG_MAPPING
    cls = getattr(transformers, name, None)
    if cls is None and type_name in CONFIG_MAPPING:
        module = CONFIG_MAPPING[type_name].__module__.replace(".configuration_", ".modeling_")
        try:
            cls = getattr(importlib.import_module(module), name, None)
        except ImportError:
            return None
    if not (isinstance(cls, type) and issubclass(cls, transformers.PreTrainedModel)):
        return None
    setattr(transformers, name, cls)   # where the maker looks
    return cls


def patches(config, seed):
    """Inputs of a tower of patches by itself: a film of two frames between two images."""
    import torch
    gen = torch.Generator().manual_seed(seed)
    merge = config.spatial_merge_size
    grid = [[1, 2 * merge, 3 * merge], [2, merge, 2 * merge], [1, 4 * merge, merge]]
    count = sum(t * h * w for t, h, w in grid)
    values = config.in_channels * config.temporal_patch_size * config.patch_size ** 2
    return dict(hidden_states=torch.randn(count, values, generator=gen).tolist(), grid_thw=grid)


def cases(types, only, seed):
    from transformers import CONFIG_MAPPING
    for entry in types["types"]:
        for name, number in [(n, k) for n in entry.get("runnable", []) for k in range(1 + len(MORE.get(entry["model_type"], [])))]:
            case = f"{entry['model_type']}-{name}".replace("/", "_") + (f"-{number + 1}" if number else "")
            if only and not re.search(only, case):
                continue
            cls = class_of(entry["model_type"], name)
            if cls is None or entry["model_type"] not in CONFIG_MAPPING:
                yield case, "the reference has no such class", None
                continue
            try:
                more = MORE[entry["model_type"]][number - 1] if number else {}
                values = {**small_config(entry["model_type"]), **OWN.get(entry["model_type"], {}), **more}
                wanted = values.pop("case", {})
                config = CONFIG_MAPPING[entry["model_type"]](**values)
                kind = kind_of(cls, config)
            except Exception as e:
                yield case, f"no small configuration: {str(e)[:120]}", None
                continue
            if kind is None:
                yield case, "no rule for its inputs", None
                continue
            spec = dict(group="moe", name=case, type=entry["model_type"], kind=kind, cfg=values, cls=name, lenient=True, **wanted)
            if kind == "two-tower":
                spec["eos_last"] = True
            if kind == "patches":
                spec["inputs"] = patches(config, seed)
            if kind == "seq2seq" and getattr(cls, "main_input_name", "") == "input_features":
                spec["audio"] = True
            yield case, None, spec


def omit_defaults(folder):
    """Leaves out of a case's config.json what the reference would fill in by itself: the description's defaults must be the same."""
    from transformers import CONFIG_MAPPING
    path = os.path.join(folder, "config.json")
    config = json.load(open(path))
    default = json.loads(json.dumps(CONFIG_MAPPING[config["model_type"]]().to_dict(), default=str))
    stays = ("model_type", "architectures", "decoder_start_token_id", "eos_token_id", "pad_token_id")
    json.dump({k: v for k, v in config.items() if k in stays or k not in default or default[k] != v}, open(path, "w"), indent=2)


def compute_lost_tables():
    """TrOCR's computed positions are lost when the reference loads a model (it makes them without memory): it then makes them again here."""
    from transformers.models.trocr.modeling_trocr import TrOCRSinusoidalPositionalEmbedding as Positions
    forward = Positions.forward

    def with_table(self, *args, **kwargs):
        if self.weights.is_meta:
            self.weights = self.get_embedding(self.weights.size(0), self.embedding_dim, self.padding_idx)
        return forward(self, *args, **kwargs)
    Positions.forward = with_table


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--types", required=True)
    p.add_argument("--maker", required=True)
    p.add_argument("--work", required=True)
    p.add_argument("--only")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--tries", type=int, default=3)
    p.add_argument("--omit-defaults", action="store_true", help="leave out of config.json what is the default")
    p.add_argument("--tiny", action="store_true", help="a third of the width: for goldens that are kept")
    p.add_argument("--limit-s", type=int, default=90, help="for one case")
    args = p.parse_args()
    spec = importlib.util.spec_from_file_location("maker", args.maker)
    maker = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(maker)
    maker.RUN["patches"] = maker.run_forward
    import torch
    torch.set_num_threads(1)
    compute_lost_tables()
    os.makedirs(args.work, exist_ok=True)
    left = open(os.path.join(args.work, "left_out.txt"), "a")

    def too_long(*_):
        raise TimeoutError(f"took more than {args.limit_s} s")
    signal.signal(signal.SIGALRM, too_long)
    for name, why, case in cases(json.load(open(args.types)), args.only, args.seed):
        if os.path.exists(os.path.join(args.work, name, "expected.json")):
            continue
        if case is not None:
            try:
                signal.alarm(args.limit_s)
                maker.make({**case, "tries": args.tries}, args.seed, args.work)
                signal.alarm(0)
                if args.omit_defaults:
                    omit_defaults(os.path.join(args.work, name))
                print("made", name, flush=True)
            except BaseException as e:
                signal.alarm(0)
                if isinstance(e, KeyboardInterrupt):
                    raise
                why = f"the reference: {type(e).__name__}: {str(e).splitlines()[0][:160] if str(e) else ''}"
                if os.environ.get("TRACE"):
                    traceback.print_exc()
        if why:
            print("left out", name + ":", why, file=left, flush=True)
            print("left out", name + ":", why, flush=True)
        gc.collect()


if __name__ == "__main__":
    sys.exit(main())

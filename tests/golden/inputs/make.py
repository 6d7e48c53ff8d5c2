#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the cases beside it: pictures and sounds, and what transformers 5.23.0 makes of them (Pillow 13.0.0; its Pillow image processors)."""
import importlib, io, json, os, struct, sys, wave
import numpy as np, torch
from PIL import Image
from safetensors.torch import save_file

here = os.path.dirname(os.path.abspath(__file__))
rng = np.random.default_rng(1)


def picture(h, w):
    y, x = np.mgrid[0:h, 0:w]
    base = np.stack([127 + 120 * np.sin(x / 5.0), 127 + 120 * np.cos(y / 7.0), (x * 3 + y * 5) % 256], -1)
    return np.clip(base + rng.normal(0, 25, base.shape), 0, 255).astype(np.uint8)


def case(name, save, module, cls, values, read=None):
    d = f"{here}/{name}"
    os.makedirs(d, exist_ok=True)
    path = save(d)
    processor = getattr(importlib.import_module(f"transformers.models.{module}"), cls)(**values)
    image = Image.open(path).convert("RGB")
    out = processor(image, return_tensors="pt")["pixel_values"]
    config = {**values, "image_processor_type": cls.removesuffix("Pil")}
    json.dump(config, open(f"{d}/preprocessor_config.json", "w"), indent=1)
    save_file({"rgb": torch.from_numpy(np.array(image)), "pixel_values": out.contiguous().float()}, f"{d}/expected.safetensors")


def png(h, w, mode="RGB"):
    def save(d):
        image = Image.fromarray(picture(h, w))
        if mode == "palette":
            image = image.quantize(17)
        elif mode != "RGB":
            image = image.convert(mode)
        image.save(f"{d}/picture.png")
        return f"{d}/picture.png"
    return save


def jpeg(h, w, mode="RGB"):
    def save(d):
        Image.fromarray(picture(h, w)).convert(mode).save(f"{d}/picture.jpg", quality=87)
        return f"{d}/picture.jpg"
    return save


vit, clip = "vit.image_processing_pil_vit", "clip.image_processing_pil_clip"
case("vit_bilinear", png(41, 30), vit, "ViTImageProcessorPil", dict(size={"height": 24, "width": 20}))
case("vit_larger", jpeg(19, 26), vit, "ViTImageProcessorPil", dict(size=32, resample=3, image_mean=[0.4, 0.5, 0.6], image_std=[0.2, 0.3, 0.25]))
case("vit_nearest_grey", png(23, 37, "L"), vit, "ViTImageProcessorPil", dict(size={"height": 12, "width": 12}, resample=0, do_normalize=False))
case("vit_lanczos_palette", png(33, 50, "palette"), vit, "ViTImageProcessorPil", dict(size={"height": 16, "width": 18}, resample=1))
case("clip_crop", jpeg(37, 61), clip, "CLIPImageProcessorPil", dict(size={"shortest_edge": 24}, crop_size={"height": 20, "width": 21}))
case("clip_pads", png(40, 13), clip, "CLIPImageProcessorPil", dict(size={"shortest_edge": 11}, crop_size={"height": 24, "width": 24}))
case("convnext_crops", jpeg(50, 44, "L"), "convnext.image_processing_pil_convnext", "ConvNextImageProcessorPil", dict(size={"shortest_edge": 21}))
case("siglip_transparent", png(29, 29, "RGBA"), "siglip.image_processing_pil_siglip", "SiglipImageProcessorPil", dict(size={"height": 24, "width": 24}))


def sound_case(name, bits, channels, rate, seconds, cls, values):
    d = f"{here}/{name}"
    os.makedirs(d, exist_ok=True)
    t = np.arange(int(rate * seconds)) / rate
    waves = np.stack([0.4 * np.sin(2 * np.pi * (220 + 110 * c) * t) + 0.1 * rng.normal(size=t.shape) for c in range(channels)], 1)
    if bits == "float":
        data = waves.astype("<f4")
        stored = data.astype(np.float64)
        fmt_part = struct.pack("<HHIIHH", 3, channels, rate, rate * channels * 4, channels * 4, 32)
        raw = data.tobytes()
    else:
        whole = np.clip(np.round(waves * 2 ** (bits - 1)), -2 ** (bits - 1), 2 ** (bits - 1) - 1).astype(np.int64)
        stored = whole / 2 ** (bits - 1)
        raw = b"".join(int(v).to_bytes(bits // 8, "little", signed=True) for v in whole.ravel()) if bits != 8 else (whole + 128).astype(np.uint8).tobytes()
        fmt_part = struct.pack("<HHIIHH", 1, channels, rate, rate * channels * bits // 8, channels * bits // 8, bits)
    body = b"WAVE" + b"fmt " + struct.pack("<I", len(fmt_part)) + fmt_part + b"LIST" + struct.pack("<I", 3) + b"abc\0" + b"data" + struct.pack("<I", len(raw)) + raw
    open(f"{d}/sound.wav", "wb").write(b"RIFF" + struct.pack("<I", len(body)) + body)
    import transformers
    extractor = getattr(transformers, cls)(**values)
    out = extractor(stored.mean(1).astype(np.float32), sampling_rate=rate, return_tensors="pt")
    json.dump({**values, "feature_extractor_type": cls}, open(f"{d}/preprocessor_config.json", "w"), indent=1)
    key = "input_features" if "Whisper" in cls else "input_values"
    save_file({key: out[key].contiguous().float()}, f"{d}/expected.safetensors")


sound_case("wav2vec2_16_bits_stereo", 16, 2, 16000, 0.05, "Wav2Vec2FeatureExtractor", dict(do_normalize=True))
sound_case("wav2vec2_24_bits", 24, 1, 8000, 0.1, "Wav2Vec2FeatureExtractor", dict(do_normalize=False, sampling_rate=8000))
sound_case("wav2vec2_8_bits", 8, 1, 8000, 0.1, "Wav2Vec2FeatureExtractor", dict(do_normalize=True, sampling_rate=8000))
sound_case("whisper_float", "float", 1, 16000, 0.6, "WhisperFeatureExtractor", dict(feature_size=12, chunk_length=1))
sound_case("whisper_longer", 16, 2, 16000, 1.2, "WhisperFeatureExtractor", dict(feature_size=80, chunk_length=1))

// SPDX-License-Identifier: Apache-2.0
// Which class AutoTokenizer (transformers 5.23) takes for a model type.
#include <algorithm>
#include <array>

#include "bigmodel/tokenizer/tokenizer_class_parts.h"

namespace bigmodel::tokenizer {
namespace {

/// Types without a row are of the general class, of one that keeps a tokenizer.json as it is, or of one in Python alone.
struct ModelTypes {
  std::string_view class_name;
  std::vector<std::string_view> types;
};

const std::vector<ModelTypes>& registered() {
  static const std::vector<ModelTypes> kRows = {
      {"AlbertTokenizer", {"albert", "yoso"}},
      {"BertTokenizer", {"align", "bark", "bert", "blip", "bros", "chinese_clip", "convbert", "distilbert", "electra", "ernie", "flava", "git", "grounding-dino",
        "layoutlm", "lxmert", "megatron-bert", "mm-grounding-dino", "mobilebert", "nomic_bert", "squeezebert", "tvp", "vilt", "visual_bert"}},
      {"BigBirdTokenizer", {"big_bird"}},
      {"BlenderbotTokenizer", {"blenderbot"}},
      {"CLIPTokenizer", {"aimv2", "clip", "clipseg", "groupvit", "omdet-turbo", "oneformer", "owlv2", "owlvit", "sam3", "sam3_video", "xclip"}},
      {"CamembertTokenizer", {"camembert"}},
      {"CohereTokenizer", {"aya_vision", "cohere", "cohere2"}},
      {"DebertaTokenizer", {"deberta"}},
      {"DebertaV2Tokenizer", {"deberta-v2"}},
      {"EsmcTokenizer", {"esmc", "esmfold2"}},
      {"FNetTokenizer", {"fnet"}},
      {"FunnelTokenizer", {"funnel"}},
      {"GPT2Tokenizer", {"blip-2", "codegen", "dbrx", "emu3", "gpt-sw3", "gpt2", "gpt_neo", "gptj", "hyperclovax_vision_v2", "instructblip", "instructblipvideo",
        "jais2", "opt", "phi", "starcoder2"}},
      {"GPTNeoXTokenizer", {"falcon_mamba", "gpt_neox", "mamba", "mamba2", "mpt", "olmo", "olmoe", "rwkv", "xlstm"}},
      {"GemmaTokenizer", {"diffusion_gemma", "gemma", "gemma2", "gemma3", "gemma3_text", "gemma3n", "gemma3n_text", "recurrent_gemma", "shieldgemma2", "t5gemma",
        "zaya"}},
      {"LasrTokenizer", {"lasr_ctc", "lasr_encoder"}},
      {"LayoutLMv3Tokenizer", {"layoutlmv3"}},
      {"LayoutXLMTokenizer", {"layoutxlm"}},
      {"LlamaTokenizer", {"idefics", "idefics2"}},
      {"LukeTokenizer", {"luke"}},
      {"MBartTokenizer", {"mbart"}},
      {"MPNetTokenizer", {"mpnet"}},
      {"MarkupLMTokenizer", {"markuplm"}},
      {"NllbTokenizer", {"nllb-moe"}},
      {"NougatTokenizer", {"pp_formulanet"}},
      {"OpenAIGPTTokenizer", {"openai-gpt"}},
      {"ParakeetTokenizer", {"granite_speech5_ctc", "nemotron3_5_asr", "nemotron_asr_streaming", "parakeet_ctc", "parakeet_rnnt", "parakeet_tdt"}},
      {"PegasusTokenizer", {"pegasus"}},
      {"Qwen2Tokenizer", {"audioflamingo3", "colqwen2", "cosmos3_omni", "dots3_note", "fun_asr_nano", "hunyuan_vl", "internvl", "lighton_ocr",
        "moss_transcribe_diarize", "ovis2", "qianfan_ocr", "qwen2", "qwen2_5_omni", "qwen2_5_vl", "qwen2_audio", "qwen2_moe", "qwen2_vl", "qwen3",
        "qwen3_asr", "qwen3_moe", "qwen3_next", "qwen3_omni_moe", "qwen3_vl", "qwen3_vl_moe", "vibevoice"}},
      {"Qwen3_5Tokenizer", {"qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen3_5_text", "qwen4_exp"}},
      {"ReformerTokenizer", {"reformer"}},
      {"RemBertTokenizer", {"rembert"}},
      {"RobertaTokenizer", {"bart", "bridgetower", "clap", "data2vec-text", "florence2", "ibert", "led", "lilt", "longformer", "mra", "mvp", "roberta",
        "roberta-prelayernorm"}},
      {"SeamlessM4TTokenizer", {"seamless_m4t", "seamless_m4t_v2"}},
      {"Siglip2Tokenizer", {"siglip2"}},
      {"SplinterTokenizer", {"splinter"}},
      {"T5Tokenizer", {"mt5", "musicgen", "musicgen_melody", "switch_transformers", "t5"}},
      {"Tipsv2Tokenizer", {"tipsv2"}},
      {"UdopTokenizer", {"udop"}},
      {"VideoPrismTokenizer", {"videoprism"}},
      {"WhisperTokenizer", {"whisper"}},
      {"XGLMTokenizer", {"xglm"}},
      {"XLMRobertaTokenizer", {"gte", "jina_embeddings_v3", "metaclip_2", "trocr", "xlm-roberta", "xmod"}},
      {"XLNetTokenizer", {"xlnet"}},
      {"DPRQuestionEncoderTokenizer", {"dpr"}},
      {"LayoutLMv2Tokenizer", {"layoutlmv2"}},
      // The general class whatever the files say.
      {"TokenizersBackend",
       {"EvollaModel", "arctic", "aria", "beam", "bigbird_pegasus", "camembertv2-base", "canary", "chatlm", "cohere_asr", "ernie4_5",
        "ernie4_5_moe", "flex_olmo", "fuyu", "glm", "glm4", "glm4_moe", "glm4_moe_lite", "glm4v", "glm4v_moe", "glm_image", "glmasr", "got_ocr2",
        "gpt_bigcode", "gradium_phonon_tts", "granite", "granitemoe", "granitemoehybrid", "granitemoeshared", "h2ovl_chat", "hyperclovax",
        "hyperclovax_vlm", "internlm2", "internlm3", "iquestcoder", "jamba", "kimi_k25", "kimi_linear", "kosmos-2", "llava", "llava_next",
        "mimo_v2_flash", "minicpm3", "minicpm_ocr", "minicpmv", "minicpmv4_6", "minicpmv4_7", "minimax_m2", "ministral", "ministral3", "mistral",
        "mistral3", "mistral_large4", "mixtral", "modernbert", "modernbert-decoder", "molmo", "molmo2", "nemo_speechlm", "nemotron", "nvfp4",
        "nystromformer", "olmo2", "olmo3", "olmo_hybrid", "opencua", "openvla", "paddleocr_vl", "pegasus_x", "persimmon", "phi3", "phi3_v",
        "phimoe", "pix2struct", "pixtral", "pocket_tts", "smolvlm", "stablelm", "step3_vl", "umt5", "vipllava", "voxtral", "voxtral_realtime",
        "xlm-roberta-xl"}},
  };
  return kRows;
}

/// Types whose published files name a wrong class, so that the registered one is taken. Those of the general class are above.
constexpr std::array<std::string_view, 7> kRegisteredWins{"hyperclovax_vision_v2", "qwen2", "qwen3_5", "qwen3_5_moe", "qwen3_5_moe_text", "qwen4_exp", "siglip2"};

}  // namespace

std::string_view class_of_type(std::string_view model_type) {
  for (const ModelTypes& row : registered()) {
    if (std::ranges::find(row.types, model_type) != row.types.end()) return row.class_name;
  }
  return {};
}

bool registered_class_wins(std::string_view model_type) { return std::ranges::find(kRegisteredWins, model_type) != kRegisteredWins.end(); }

}  // namespace bigmodel::tokenizer

# Made by `bigmodel generate` from the option table; do not edit.
_bigmodel() {
  local cur prev command word i
  cur=${COMP_WORDS[COMP_CWORD]}
  prev=${COMP_WORDS[COMP_CWORD-1]}
  command=
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    case $word in
      --color|--config) i=$((i + 1)) ;;
      -*) ;;
      *) command=$word; break ;;
    esac
  done
  COMPREPLY=()
  case $command in
    '')
      case $prev in
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        COMPREPLY=($(compgen -W 'estimate-memory shard verify edit infer-device-map init inspect run tokenize download push serve-estimate doctor help' -- "$cur"))
      fi
      ;;
    estimate-memory)
      case $prev in
        --dtypes|-d) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --report) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --format|-f) COMPREPLY=($(compgen -W 'table json jsonl csv markdown accelerate' -- "$cur")); return ;;
        --context) COMPREPLY=(); return ;;
        --batch) COMPREPLY=(); return ;;
        --beams) COMPREPLY=(); return ;;
        --kv-dtype) COMPREPLY=($(compgen -W 'float32 float16 bfloat16 q8_0 fp8 int8 q5_1 q5_0 q4_1 q4_0 iq4_nl nvfp4' -- "$cur")); return ;;
        --engine) COMPREPLY=($(compgen -W 'exact hf hf-static vllm llama.cpp bigmodel' -- "$cur")); return ;;
        --attention) COMPREPLY=($(compgen -W 'flash eager' -- "$cur")); return ;;
        --prefill-chunk) COMPREPLY=(); return ;;
        --device) COMPREPLY=(); return ;;
        --split) COMPREPLY=($(compgen -W 'layers tensor' -- "$cur")); return ;;
        --solve) COMPREPLY=($(compgen -W 'context batch dtype devices' -- "$cur")); return ;;
        --train) COMPREPLY=($(compgen -W 'full lora qlora' -- "$cur")); return ;;
        --optimizer) COMPREPLY=($(compgen -W 'adamw adamw-8bit paged-adamw-8bit adafactor lion lion-8bit muon rmsprop sgd-momentum sgd' -- "$cur")); return ;;
        --sharding) COMPREPLY=(); return ;;
        --offload) COMPREPLY=($(compgen -W 'none optimizer all' -- "$cur")); return ;;
        --recompute) COMPREPLY=($(compgen -W 'none selective full' -- "$cur")); return ;;
        --lora-rank) COMPREPLY=(); return ;;
        --lora-targets) COMPREPLY=(); return ;;
        --lora-dtype) COMPREPLY=($(compgen -W 'float32 weights' -- "$cur")); return ;;
        --sequence) COMPREPLY=(); return ;;
        --micro-batch) COMPREPLY=(); return ;;
        --class|-c) COMPREPLY=($(compgen -W 'base auto' -- "$cur")); return ;;
        --library-name) COMPREPLY=($(compgen -W 'auto transformers timm' -- "$cur")); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--dtypes --exact --strict --report --post-discussion --yes --format --context --batch --beams --kv-dtype --engine --attention --prefill-chunk --device --split --machine --fits --solve --train --optimizer --sharding --offload --recompute --master-weights --compiled --chunked-loss --offload-activations --optimizer-in-backward --lora-rank --lora-targets --lora-dtype --sequence --micro-batch --class --library-name --arch-dir --subfolder --trust-remote-code --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur") $(compgen -W "$(bigmodel __complete models 2>/dev/null)" -- "$cur"))
      fi
      ;;
    shard)
      case $prev in
        --max-shard-size|-s) COMPREPLY=(); return ;;
        --output|-o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --format|-f) COMPREPLY=($(compgen -W 'keep safetensors bin' -- "$cur")); return ;;
        --dtype|-d) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --policy) COMPREPLY=($(compgen -W 'hf balanced' -- "$cur")); return ;;
        --compat) COMPREPLY=($(compgen -W 'hf' -- "$cur")); return ;;
        --plan-from) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --variant) COMPREPLY=(); return ;;
        --under) COMPREPLY=(); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--max-shard-size --output --in-place --format --merge --dtype --policy --compat --force --resume --read-back --dry-run --plan-from --variant --under --subfolder --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))
      fi
      ;;
    verify)
      case $prev in
        --against) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --class) COMPREPLY=(); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --variant) COMPREPLY=(); return ;;
        --under) COMPREPLY=(); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--deep --against --class --arch-dir --variant --under --subfolder --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))
      fi
      ;;
    edit)
      case $prev in
        --resize-vocab) COMPREPLY=(); return ;;
        --pad-to-multiple-of) COMPREPLY=(); return ;;
        --prune-heads) COMPREPLY=(); return ;;
        --output|-o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --max-shard-size|-s) COMPREPLY=(); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --variant) COMPREPLY=(); return ;;
        --under) COMPREPLY=(); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--resize-vocab --pad-to-multiple-of --mean-resizing --no-mean-resizing --prune-heads --output --max-shard-size --force --resume --arch-dir --variant --under --subfolder --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))
      fi
      ;;
    infer-device-map)
      case $prev in
        --max-memory|-m) COMPREPLY=(); return ;;
        --policy|-p) COMPREPLY=($(compgen -W 'auto balanced balanced_low_0 sequential accelerate optimal' -- "$cur")); return ;;
        --dtype) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --special-dtypes) COMPREPLY=(); return ;;
        --no-split-module-classes) COMPREPLY=(); return ;;
        --device-map) COMPREPLY=(); return ;;
        --graph) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --request) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --explain) COMPREPLY=(); return ;;
        --context) COMPREPLY=(); return ;;
        --batch) COMPREPLY=(); return ;;
        --kv-dtype) COMPREPLY=(); return ;;
        --bandwidth) COMPREPLY=(); return ;;
        --format|-f) COMPREPLY=($(compgen -W 'table json jsonl python' -- "$cur")); return ;;
        --class|-c) COMPREPLY=($(compgen -W 'auto base' -- "$cur")); return ;;
        --library-name) COMPREPLY=($(compgen -W 'auto transformers timm' -- "$cur")); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--max-memory --policy --dtype --special-dtypes --no-split-module-classes --offload-buffers --fallback-allocation --no-clean-result --device-map --graph --request --explain --context --batch --kv-dtype --bandwidth --format --class --library-name --arch-dir --subfolder --trust-remote-code --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur") $(compgen -W "$(bigmodel __complete models 2>/dev/null)" -- "$cur"))
      fi
      ;;
    init)
      case $prev in
        --output|-o) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --dtype|-d) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --seed) COMPREPLY=(); return ;;
        --max-shard-size|-s) COMPREPLY=(); return ;;
        --format|-f) COMPREPLY=($(compgen -W 'safetensors bin' -- "$cur")); return ;;
        --buffers) COMPREPLY=(); return ;;
        --class|-c) COMPREPLY=($(compgen -W 'base auto' -- "$cur")); return ;;
        --library-name) COMPREPLY=($(compgen -W 'auto transformers timm' -- "$cur")); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--output --dtype --seed --max-shard-size --format --buffers --force --resume --dry-run --class --library-name --arch-dir --subfolder --trust-remote-code --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur") $(compgen -W "$(bigmodel __complete models 2>/dev/null)" -- "$cur"))
      fi
      ;;
    inspect)
      case $prev in
        --why) COMPREPLY=(); return ;;
        --depth) COMPREPLY=(); return ;;
        --dtype) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --format|-f) COMPREPLY=($(compgen -W 'table json jsonl csv markdown' -- "$cur")); return ;;
        --variant) COMPREPLY=(); return ;;
        --under) COMPREPLY=(); return ;;
        --class|-c) COMPREPLY=($(compgen -W 'base auto' -- "$cur")); return ;;
        --library-name) COMPREPLY=($(compgen -W 'auto transformers timm' -- "$cur")); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--tensors --tree --why --summary --depth --dtype --exact --format --checkpoint --digest --stats --variant --under --class --library-name --arch-dir --subfolder --trust-remote-code --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur") $(compgen -W "$(bigmodel __complete models 2>/dev/null)" -- "$cur"))
      fi
      ;;
    run)
      case $prev in
        --prompt|-p) COMPREPLY=(); return ;;
        --prompt-file|-f) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --batch) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --batch-size) COMPREPLY=(); return ;;
        --image) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --system) COMPREPLY=(); return ;;
        --pair) COMPREPLY=(); return ;;
        --ids) COMPREPLY=(); return ;;
        --ids-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --input) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --temperature) COMPREPLY=(); return ;;
        --top-k) COMPREPLY=(); return ;;
        --top-p) COMPREPLY=(); return ;;
        --min-p) COMPREPLY=(); return ;;
        --typical-p) COMPREPLY=(); return ;;
        --no-repeat-ngram-size) COMPREPLY=(); return ;;
        --repetition-penalty) COMPREPLY=(); return ;;
        --num-beams) COMPREPLY=(); return ;;
        --num-return-sequences) COMPREPLY=(); return ;;
        --length-penalty) COMPREPLY=(); return ;;
        --seed) COMPREPLY=(); return ;;
        --max-new-tokens) COMPREPLY=(); return ;;
        --min-new-tokens) COMPREPLY=(); return ;;
        --max-time) COMPREPLY=(); return ;;
        --stop) COMPREPLY=(); return ;;
        --bad-words) COMPREPLY=(); return ;;
        --generation-config) COMPREPLY=(); return ;;
        --logits) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --format) COMPREPLY=($(compgen -W 'text json jsonl' -- "$cur")); return ;;
        --bandwidth) COMPREPLY=(); return ;;
        --context) COMPREPLY=(); return ;;
        --dtype) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --kv-dtype) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --quantize) COMPREPLY=($(compgen -W 'int8 int4' -- "$cur")); return ;;
        --storage-dtype) COMPREPLY=($(compgen -W "$(bigmodel __complete dtypes 2>/dev/null)" -- "$cur")); return ;;
        --skip-modules-pattern) COMPREPLY=(); return ;;
        --skip-modules-classes) COMPREPLY=(); return ;;
        --threads) COMPREPLY=(); return ;;
        --device-map) COMPREPLY=(); return ;;
        --max-memory) COMPREPLY=(); return ;;
        --offload-folder) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --class|-c) COMPREPLY=($(compgen -W 'auto base' -- "$cur")); return ;;
        --library-name) COMPREPLY=($(compgen -W 'auto transformers timm' -- "$cur")); return ;;
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--prompt --prompt-file --batch --batch-size --image --chat --system --pair --ids --ids-file --input --greedy --temperature --top-k --top-p --min-p --typical-p --no-repeat-ngram-size --repetition-penalty --num-beams --num-return-sequences --length-penalty --seed --max-new-tokens --min-new-tokens --max-time --stop --bad-words --generation-config --logprobs --logits --format --plan --bandwidth --context --dtype --kv-dtype --quantize --storage-dtype --skip-modules-pattern --skip-modules-classes --threads --device-map --max-memory --offload-folder --check --init-missing --class --library-name --arch-dir --subfolder --trust-remote-code --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur") $(compgen -W "$(bigmodel __complete models 2>/dev/null)" -- "$cur"))
      fi
      ;;
    tokenize)
      case $prev in
        --chat) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--ids --decode --chat --no-special-tokens --keep-special-tokens --jsonl --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur") $(compgen -W "$(bigmodel __complete models 2>/dev/null)" -- "$cur"))
      fi
      ;;
    download)
      case $prev in
        --include) COMPREPLY=(); return ;;
        --exclude) COMPREPLY=(); return ;;
        --subfolder) COMPREPLY=(); return ;;
        --connections) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--include --exclude --subfolder --connections --dry-run --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        COMPREPLY=()
      fi
      ;;
    push)
      case $prev in
        --message|-m) COMPREPLY=(); return ;;
        --include) COMPREPLY=(); return ;;
        --exclude) COMPREPLY=(); return ;;
        --connections) COMPREPLY=(); return ;;
        --revision) COMPREPLY=(); return ;;
        --token-file) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--message --include --exclude --private --create-pr --connections --dry-run --revision --offline --token-file --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur"))
      fi
      ;;
    serve-estimate)
      case $prev in
        --port) COMPREPLY=(); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--port --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      fi
      ;;
    doctor)
      case $prev in
        --arch-dir) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
        --format|-f) COMPREPLY=($(compgen -W 'table json' -- "$cur")); return ;;
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--probe --types --arch-dir --format --help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      fi
      ;;
    help)
      case $prev in
        --color) COMPREPLY=($(compgen -W 'auto always never' -- "$cur")); return ;;
        --config) compopt -o filenames; COMPREPLY=($(compgen -f -- "$cur")); return ;;
      esac
      if [[ $cur == -* ]]; then
        COMPREPLY=($(compgen -W '--help --version --quiet --verbose --json --color --config --no-config' -- "$cur"))
      else
        COMPREPLY=($(compgen -W 'estimate-memory shard verify edit infer-device-map init inspect run tokenize download push serve-estimate doctor help exit-codes environment config sizes' -- "$cur"))
      fi
      ;;
  esac
}
complete -F _bigmodel bigmodel

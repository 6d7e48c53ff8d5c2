#compdef bigmodel
# Made by `bigmodel generate` from the option table; do not edit.
_bigmodel_models() {
  local -a models
  models=(${(f)"$(bigmodel __complete models 2>/dev/null)"})
  _alternative 'models:model:compadd -a models' 'files:file:_files'
}

_bigmodel_dtypes() {
  local -a dtypes
  dtypes=(${(f)"$(bigmodel __complete dtypes 2>/dev/null)"})
  compadd -a dtypes
}

_bigmodel() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C \
    {-h,--help}'[print this help]' \
    {-V,--version}'[print the version; with --verbose also what this build can do]' \
    {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
    {-v,--verbose}'[print more about what was read and decided]' \
    {-j,--json}'[print JSON; the same as --format json]' \
    '--color[colour the output]:WHEN:(auto always never)' \
    '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
    '--no-config[read no config file]' \
    '1:command:->command' \
    '*::argument:->argument'
  case $state in
    command)
      local -a commands
      commands=(
        'estimate-memory:how much memory a model needs'
        'shard:cut a checkpoint into shards, merge it, or convert it'
        'verify:check a checkpoint\: its files, its index, its tensors'
        'edit:change a checkpoint'\''s vocabulary size, take out attention heads'
        'infer-device-map:where each layer of a model goes'
        'init:write a checkpoint of random weights'
        'inspect:show a model'\''s tensors, module tree, one name'\''s origin, or what weight files hold'
        'run:run a model from its own files, on GPUs, in RAM or streamed from disk'
        'tokenize:turn text into token ids and back'
        'download:fetch a repository of the Hub into the cache'
        'push:publish a folder on the Hub'
        'serve-estimate:the memory report as a page on this machine'
        'doctor:show what this build and machine can do, and what is off'
        'help:explain a command or a topic'
      )
      _describe command commands
      ;;
    argument)
      case $line[1] in
        estimate-memory)
          _arguments \
            {-d,--dtypes}'[the rows and their order]:DTYPE:_bigmodel_dtypes' \
            '--exact[read the checkpoint'\''s own safetensors headers, from the Hub by byte ranges\: no weights are downloaded]' \
            '--strict[exit with 1 where the estimate is incomplete]' \
            '--report[also write the running part as one HTML page, with sliders for context, batch and dtype]:FILE:_files' \
            '--post-discussion[show the Markdown table as a discussion of the model'\''s repository on the Hub; with --yes, post it]' \
            '--yes[with --post-discussion\: send it]' \
            {-f,--format}'[how the result is printed]:FORMAT:(table json jsonl csv markdown accelerate)' \
            '--context[also what running takes, with this many tokens a sequence]:TOKENS: ' \
            '--batch[sequences at once]:N: ' \
            '--beams[beams of each sequence]:N: ' \
            '--kv-dtype[how keys and values are kept]:FORMAT:(float32 float16 bfloat16 q8_0 fp8 int8 q5_1 q5_0 q4_1 q4_0 iq4_nl nvfp4)' \
            '--engine[whose cache and overheads]:NAME:(exact hf hf-static vllm llama.cpp bigmodel)' \
            '--attention[whether scores are kept whole]:KIND:(flash eager)' \
            '--prefill-chunk[tokens of the prompts computed at once]:TOKENS: ' \
            '--device[does it fit\: 24GiB, "RTX 4090", 2xH100-80GB]:DEVICE: ' \
            '--split[how several devices share the model]:HOW:(layers tensor)' \
            '--machine[does it fit into this machine'\''s memory]' \
            '--fits[exit with 1 where a row does not fit the device]' \
            '*--solve[the most that the device allows]:WHAT:(context batch dtype devices)' \
            '--train[also what training takes on each device]:MODE:(full lora qlora)' \
            '--optimizer[whose states are kept]:NAME:(adamw adamw-8bit paged-adamw-8bit adafactor lion lion-8bit muon rmsprop sgd-momentum sgd)' \
            '--sharding[zero1, zero2, zero3 or fsdp (zero3=8), tp=N, pp=N, also together]:HOW: ' \
            '--offload[what waits in host memory]:WHAT:(none optimizer all)' \
            '--recompute[activations computed again on the way back]:WHAT:(none selective full)' \
            '--master-weights[float32 masters and moments beside 16-bit weights (mixed precision)]' \
            '--compiled[norms and activations are fused (torch.compile) and keep their inputs alone]' \
            '--chunked-loss[logits an eighth at a time]' \
            '--offload-activations[what is kept for the way back waits in host memory]' \
            '--optimizer-in-backward[gradients are used and freed one by one]' \
            '--lora-rank[rank of the adapters]:R: ' \
            '*--lora-targets[which linear layers get adapters\: names, or all-linear]:LAYERS: ' \
            '--lora-dtype[of the adapters]:KIND:(float32 weights)' \
            '--sequence[tokens of each training sequence]:TOKENS: ' \
            '--micro-batch[sequences a device computes at once]:N: ' \
            {-c,--class}'[which class of the model is meant]:CLASS:(base auto)' \
            '--library-name[the library that defines the model]:LIBRARY:(auto transformers timm)' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--subfolder[where in the repository or folder the model'\''s config.json is]:FOLDER: ' \
            '--trust-remote-code[accepted for accelerate'\''s sake\: bigmodel never runs a model'\''s code]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            '*:MODEL:_bigmodel_models'
          ;;
        shard)
          _arguments \
            {-s,--max-shard-size}'[the most bytes of tensors in one file]:SIZE: ' \
            {-o,--output}'[where to write]:FOLDER:_files' \
            '--in-place[replace the checkpoint in its own folder, once the new files are written and read back]' \
            {-f,--format}'[the container to write; keep leaves safetensors and .bin what they are]:FORMAT:(keep safetensors bin)' \
            '--merge[write one file, whatever its size]' \
            {-d,--dtype}'[convert floating-point tensors, rounding as PyTorch does]:DTYPE:_bigmodel_dtypes' \
            '--policy[how the cut is found]:POLICY:(hf balanced)' \
            '--compat[write files byte for byte as that library does]:LIBRARY:(hf)' \
            '--force[replace the weights that are in the output folder]' \
            '--resume[go on where an interrupted run of the same job stopped]' \
            '--read-back[compare what the disk holds with what was written (always done in place)]' \
            {-n,--dry-run}'[print the plan and write nothing]' \
            '--plan-from[plan for the tensors that FILE lists, and print the plan as JSON]:FILE:_files' \
            '--variant[take the weight files of a variant\: fp16 is model.fp16.safetensors]:NAME: ' \
            '--under[of a nested PyTorch file\: take the tensors below KEY, such as state_dict, model or module]:KEY: ' \
            '--subfolder[where in the repository or folder the checkpoint is]:FOLDER: ' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':CHECKPOINT:_files'
          ;;
        verify)
          _arguments \
            '--deep[read every tensor\: count NaN and infinite values, print a sha256 of each]' \
            '--against[compare with another checkpoint, tensor by tensor, whatever the formats and the cuts]:OTHER:_files' \
            '--class[the class whose tensors are expected\: base, auto (what the config names), or a class by name]:CLASS: ' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--variant[take the weight files of a variant\: fp16 is model.fp16.safetensors]:NAME: ' \
            '--under[of a nested PyTorch file\: take the tensors below KEY, such as state_dict, model or module]:KEY: ' \
            '--subfolder[where in the repository or folder the checkpoint is]:FOLDER: ' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':CHECKPOINT:_files'
          ;;
        edit)
          _arguments \
            '--resize-vocab[tokens afterwards]:N: ' \
            '--pad-to-multiple-of[round N up to a multiple of M]:M: ' \
            '--mean-resizing[new tokens start as the mean of the old ones; the default]' \
            '--no-mean-resizing[new tokens start as zeros]' \
            '--prune-heads[heads to take out, such as "0\:1,3;5\:0"\: heads 1 and 3 of layer 0, head 0 of layer 5]:LAYER\:HEADS: ' \
            {-o,--output}'[where to write]:FOLDER:_files' \
            {-s,--max-shard-size}'[the most bytes of tensors in one file]:SIZE: ' \
            '--force[replace the weights that are in the output folder]' \
            '--resume[keep the files that an interrupted run of the same call finished]' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--variant[take the weight files of a variant\: fp16 is model.fp16.safetensors]:NAME: ' \
            '--under[of a nested PyTorch file\: take the tensors below KEY, such as state_dict, model or module]:KEY: ' \
            '--subfolder[where in the repository or folder the checkpoint is]:FOLDER: ' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':CHECKPOINT:_files'
          ;;
        infer-device-map)
          _arguments \
            {-m,--max-memory}'[what each device may take\: 0=10GiB,1=10GiB,cpu=30GiB]:DEVICE=SIZE: ' \
            {-p,--policy}'[how layers are spread]:POLICY:(auto balanced balanced_low_0 sequential accelerate optimal)' \
            '--dtype[what the model is cast to; without it the config'\''s own dtype, else float32]:DTYPE:_bigmodel_dtypes' \
            '*--special-dtypes[dtypes of single tensors\: lm_head.weight=float32]:NAME=DTYPE: ' \
            '*--no-split-module-classes[classes whose modules stay on one device; none splits everything]:CLASS: ' \
            '--offload-buffers[buffers of modules on cpu and disk lie there too, and no warning is due]' \
            '--fallback-allocation[an empty device takes a later, smaller module where the next one does not fit]' \
            '--no-clean-result[keep every entry, even where all parts of a module lie on one device]' \
            '--device-map[check this map instead of making one\: a JSON file or the JSON itself]:MAP: ' \
            '--graph[plan a module tree in JSON instead of a MODEL, so that any PyTorch model works]:FILE:_files' \
            '--request[answer whole calls as JSON; a .jsonl file (or - with lines) line by line, in one process]:FILE:_files' \
            '--explain[tell why a module lies where it does]:MODULE: ' \
            '--context[with --policy optimal\: room for the KV cache of so many tokens]:TOKENS: ' \
            '--batch[sequences at once]:N: ' \
            '--kv-dtype[how the KV cache is stored\: float16, bfloat16, float32, fp8, q8_0, q4_0, ...; without it as the model]:FORMAT: ' \
            '*--bandwidth[bytes a second of each tier\: 0=3.3TB/s,cpu=200GB/s,disk=3GB/s]:DEVICE=RATE: ' \
            {-f,--format}'[how the result is printed]:FORMAT:(table json jsonl python)' \
            {-c,--class}'[which class of the model is meant]:CLASS:(auto base)' \
            '--library-name[the library that defines the model]:LIBRARY:(auto transformers timm)' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--subfolder[where in the repository or folder the model'\''s config.json is]:FOLDER: ' \
            '--trust-remote-code[accepted for accelerate'\''s sake\: bigmodel never runs a model'\''s code]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':MODEL:_bigmodel_models'
          ;;
        init)
          _arguments \
            {-o,--output}'[where to write]:FOLDER:_files' \
            {-d,--dtype}'[of the floating-point tensors; without it the config'\''s own, else float32]:DTYPE:_bigmodel_dtypes' \
            '--seed[another number gives other weights, the same one the same]:N: ' \
            {-s,--max-shard-size}'[the most bytes of tensors in one file]:SIZE: ' \
            {-f,--format}'[the container to write]:FORMAT:(safetensors bin)' \
            '*--buffers[write these buffers too, though the class does not save them]:NAME: ' \
            '--force[replace the weights that are in the output folder]' \
            '--resume[go on where an interrupted run of the same job stopped]' \
            {-n,--dry-run}'[print the plan and write nothing]' \
            {-c,--class}'[which class of the model is meant]:CLASS:(base auto)' \
            '--library-name[the library that defines the model]:LIBRARY:(auto transformers timm)' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--subfolder[where in the repository or folder the model'\''s config.json is]:FOLDER: ' \
            '--trust-remote-code[accepted for accelerate'\''s sake\: bigmodel never runs a model'\''s code]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':MODEL:_bigmodel_models'
          ;;
        inspect)
          _arguments \
            '--tensors[list every parameter and buffer with dtype and shape]' \
            '--tree[print the module tree with sizes, repeated layers folded]' \
            '--why[explain a parameter, buffer or module\: the description'\''s lines and the config'\''s keys that made it]:NAME: ' \
            '--summary[print totals, classes that are not split, tied parameters and the file'\''s tensors]' \
            '--depth[of --tree\: print N levels below the root]:N: ' \
            '--dtype[the dtype that the model is loaded in; without it the config'\''s own, else float32]:DTYPE:_bigmodel_dtypes' \
            '--exact[read the checkpoint'\''s own safetensors headers, from the Hub by byte ranges\: no weights are downloaded]' \
            {-f,--format}'[how the result is printed]:FORMAT:(table json jsonl csv markdown)' \
            '--checkpoint[show the weight files, not the model that the config.json beside them describes]' \
            '--digest[of a checkpoint\: read every tensor and add a sha256 of its contiguous bytes]' \
            '--stats[of a checkpoint\: read every tensor and add smallest, largest, mean and spread of its values, NaN and infinite ones counted]' \
            '--variant[take the weight files of a variant\: fp16 is model.fp16.safetensors]:NAME: ' \
            '--under[of a nested PyTorch file\: take the tensors below KEY, such as state_dict, model or module]:KEY: ' \
            {-c,--class}'[which class of the model is meant]:CLASS:(base auto)' \
            '--library-name[the library that defines the model]:LIBRARY:(auto transformers timm)' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--subfolder[where in the repository or folder the model'\''s config.json is]:FOLDER: ' \
            '--trust-remote-code[accepted for accelerate'\''s sake\: bigmodel never runs a model'\''s code]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':MODEL:_bigmodel_models'
          ;;
        run)
          _arguments \
            {-p,--prompt}'[the prompt; - reads standard input]:TEXT: ' \
            {-f,--prompt-file}'[the prompt from a text file]:FILE:_files' \
            '--batch[prompts, one a line, run side by side; each answer is a line of JSON text]:FILE:_files' \
            '--batch-size[prompts of --batch that are run at once]:N: ' \
            '--image[a picture (PNG, JPEG) that a text prompt is about, for models of text and images; for several by repetition]:FILE:_files' \
            '--chat[talk to the model through its chat template]' \
            '--system[with --chat\: the system message before the conversation]:TEXT: ' \
            '--pair[of encoders\: the second text, such as the one that a question is about]:TEXT: ' \
            '--ids[the prompt as token ids, such as 1,15,7]:IDS: ' \
            '--ids-file[prompts as token ids from a JSON file]:FILE:_files' \
            '--input[named input tensors from a safetensors file, a picture (PNG, JPEG) or sound (WAV)]:FILE:_files' \
            '--greedy[take the likeliest token in each step, whatever generation_config.json says]' \
            '--temperature[draw tokens, with scores divided by T; 0 draws none]:T: ' \
            '--top-k[draw from the N likeliest tokens]:N: ' \
            '--top-p[draw from the likeliest tokens that add up to P]:P: ' \
            '--min-p[draw from tokens at least P times as likely as the likeliest]:P: ' \
            '--typical-p[draw from the most typical tokens (nearest to the expected surprise) that add up to P]:P: ' \
            '--no-repeat-ngram-size[let no N tokens in a row come a second time; 0 lets all]:N: ' \
            '--repetition-penalty[make tokens that were there less likely (R > 1)]:R: ' \
            '--num-beams[follow the N likeliest continuations side by side (beam search)]:N: ' \
            '--num-return-sequences[continuations of each prompt, drawn or of beams]:N: ' \
            '--length-penalty[of beams\: above 0 prefers long, below 0 short continuations]:X: ' \
            '--seed[of the draws, where tokens are drawn]:N: ' \
            '--max-new-tokens[stop after N new tokens; 0 runs the prompt only]:N: ' \
            '--min-new-tokens[do not end before N new tokens]:N: ' \
            '--max-time[stop after the token in work at that time]:SECONDS: ' \
            '--stop[end where TEXT has come out; for several by repetition, or a JSON list such as \["\n\n", "User\:"\]]:TEXT: ' \
            '--bad-words[never let TEXT come out, at the beginning of a text or behind a blank; for several by repetition]:TEXT: ' \
            '--generation-config[keys that go before generation_config.json'\''s\: a file, or JSON such as {"no_repeat_ngram_size"\: 2}]:FILE: ' \
            '--logprobs[give the log probability of every new token, under the model'\''s own softmax (JSON)]' \
            '--logits[write the prompt'\''s logits \[batch, length, vocabulary\] in float32 to a safetensors file]:FILE:_files' \
            '--format[how the result is printed\: jsonl gives a line for the start, for each token at once, and for the end]:FORMAT:(text json jsonl)' \
            '--plan[show what would lie where, which tier binds and the predicted speed, and stop there]' \
            '*--bandwidth[what RAM and disk deliver, for the prediction, such as cpu=34GB/s,disk=2GB/s]:DEVICE=RATE: ' \
            '--context[tokens of a sequence, prompt and new ones, that there must be room for]:N: ' \
            '--dtype[what the weights are run in\: float32, bfloat16 or float16; without it as they are stored]:DTYPE:_bigmodel_dtypes' \
            '--kv-dtype[how keys and values of earlier tokens are kept in RAM\: float32, bfloat16 or float16]:DTYPE:_bigmodel_dtypes' \
            '--quantize[hold the weights of the layers'\'' matrices in 8 or 4 bits, quantised while they are loaded\: smaller and faster, not exact]:FORM:(int8 int4)' \
            '--storage-dtype[what weights of linear and convolution layers are kept in between uses\: float8_e4m3fn, float8_e5m2, bfloat16 or float16]:DTYPE:_bigmodel_dtypes' \
            '*--skip-modules-pattern[with --storage-dtype\: modules whose name the expression is found in are left alone, and all below them]:REGEX: ' \
            '*--skip-modules-classes[with --storage-dtype\: the same by class name]:CLASS: ' \
            '--threads[threads that compute; without it as many as this process may use]:N: ' \
            '--device-map[where weights lie\: auto, cpu, disk, cuda\:0, JSON such as {"model.layers.0"\: 0, ""\: "cpu"}, or a file of it]:MAP: ' \
            '*--max-memory[with --device-map auto\: how much of each device may be taken, such as 0=20GiB,cpu=8GiB]:DEVICE=SIZE: ' \
            '--offload-folder[accepted for accelerate'\''s sake\: weights of "disk" are read from the model'\''s own files, and nothing is written]:FOLDER:_files' \
            '--check[read all weights first, and refuse NaN and infinite ones by name]' \
            '--init-missing[fill tensors that the checkpoint lacks as init does, drawn by --seed, instead of refusing it]' \
            {-c,--class}'[which class of the model is meant]:CLASS:(auto base)' \
            '--library-name[the library that defines the model]:LIBRARY:(auto transformers timm)' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            '--subfolder[where in the repository or folder the model'\''s config.json is]:FOLDER: ' \
            '--trust-remote-code[accepted for accelerate'\''s sake\: bigmodel never runs a model'\''s code]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':MODEL:_bigmodel_models'
          ;;
        tokenize)
          _arguments \
            '--ids[print token ids only, in the form that run --ids takes]' \
            '--decode[the other way round\: token ids in, text out]' \
            '--chat[print the prompt that the chat template makes of a JSON file\: messages, or an object with them]:FILE:_files' \
            '--no-special-tokens[leave out what the tokenizer adds, such as <s>]' \
            '--keep-special-tokens[show special tokens in decoded text]' \
            '--jsonl[JSON in, JSON out, line by line]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':MODEL:_bigmodel_models' \
            '*:TEXT: '
          ;;
        download)
          _arguments \
            '*--include[only files that match, such as '\''*.safetensors'\'']:PATTERN: ' \
            '*--exclude[no files that match]:PATTERN: ' \
            '--subfolder[only what lies in this folder of the repository]:FOLDER: ' \
            '--connections[at most so many requests at a time]:N: ' \
            {-n,--dry-run}'[list what would be fetched, and fetch nothing]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':REPO: '
          ;;
        push)
          _arguments \
            {-m,--message}'[the commit'\''s first line]:TEXT: ' \
            '*--include[only files that match, such as '\''*.safetensors'\'']:PATTERN: ' \
            '*--exclude[no files that match]:PATTERN: ' \
            '--private[where the repository is created, make it private]' \
            '--create-pr[commit to a new pull request instead of the branch]' \
            '--connections[at most so many uploads at a time]:N: ' \
            {-n,--dry-run}'[list what would be sent and how, and change nothing]' \
            '--revision[the branch, tag or commit of a Hub repository; the same as NAME@REVISION]:REVISION: ' \
            '--offline[use what is here and ask no server]' \
            '--token-file[read the Hub token from FILE instead of HF_TOKEN or ~/.cache/huggingface/token]:FILE:_files' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':FOLDER:_files' \
            ':REPO: '
          ;;
        serve-estimate)
          _arguments \
            '--port[where to listen; 0 takes a free one]:N: ' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]'
          ;;
        doctor)
          _arguments \
            '--probe[measure how fast RAM, disk and GPUs are read, in the form that --bandwidth takes]' \
            '--types[list every model type instead\: whether it is described, its classes, and whether the engine runs them]' \
            '*--arch-dir[read architecture descriptions (*.arch) of FOLDER too]:FOLDER:_files' \
            {-f,--format}'[how the result is printed]:FORMAT:(table json)' \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]'
          ;;
        help)
          _arguments \
            {-h,--help}'[print this help]' \
            {-V,--version}'[print the version; with --verbose also what this build can do]' \
            {-q,--quiet}'[print only the essential value, and no notes, warnings or progress]' \
            {-v,--verbose}'[print more about what was read and decided]' \
            {-j,--json}'[print JSON; the same as --format json]' \
            '--color[colour the output]:WHEN:(auto always never)' \
            '--config[read settings from FILE instead of ~/.config/bigmodel/config.toml]:FILE:_files' \
            '--no-config[read no config file]' \
            ':TOPIC:(estimate-memory shard verify edit infer-device-map init inspect run tokenize download push serve-estimate doctor help exit-codes environment config sizes)'
          ;;
      esac
      ;;
  esac
}

if [ "$funcstack[1]" = "_bigmodel" ]; then
  _bigmodel "$@"
else
  compdef _bigmodel bigmodel
fi

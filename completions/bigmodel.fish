# Made by `bigmodel generate` from the option table; do not edit.
complete -c bigmodel -f
complete -c bigmodel -s h -l help -d 'print this help'
complete -c bigmodel -s V -l version -d 'print the version; with --verbose also what this build can do'
complete -c bigmodel -s q -l quiet -d 'print only the essential value, and no notes, warnings or progress'
complete -c bigmodel -s v -l verbose -d 'print more about what was read and decided'
complete -c bigmodel -s j -l json -d 'print JSON; the same as --format json'
complete -c bigmodel -l color -d 'colour the output' -x -a 'auto always never'
complete -c bigmodel -l config -d 'read settings from FILE instead of ~/.config/bigmodel/config.toml' -r -F
complete -c bigmodel -l no-config -d 'read no config file'
complete -c bigmodel -n __fish_use_subcommand -a help -d 'explain a command or a topic'
complete -c bigmodel -n '__fish_seen_subcommand_from help' -a 'help exit-codes environment config sizes'

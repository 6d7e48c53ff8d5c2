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
        'help:explain a command or a topic'
      )
      _describe command commands
      ;;
    argument)
      case $line[1] in
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
            ':TOPIC:(help exit-codes environment config sizes)'
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

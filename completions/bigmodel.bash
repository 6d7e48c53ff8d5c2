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
        COMPREPLY=($(compgen -W 'help' -- "$cur"))
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
        COMPREPLY=($(compgen -W 'help exit-codes environment config sizes' -- "$cur"))
      fi
      ;;
  esac
}
complete -F _bigmodel bigmodel

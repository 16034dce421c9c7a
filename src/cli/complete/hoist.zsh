#compdef NAME
# Completion of NAME for zsh, which asks the program.
_NAME() {
    local -a values
    local line files
    for line in "${(@f)$("${words[1]}" __complete "${(@)words[2,CURRENT]}" 2>/dev/null)}"; do
        case $line in
            '') ;;
            :files) files=1 ;;
            *) values+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}") ;;
        esac
    done
    (( $#values )) && _describe -t values value values
    [[ -n $files ]] && _files
}
if [[ $funcstack[1] = _NAME ]]; then
    _NAME "$@"
else
    compdef _NAME NAME
fi

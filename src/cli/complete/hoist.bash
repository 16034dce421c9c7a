# Completion of NAME for bash, which asks the program.
_NAME() {
    local line=${COMP_LINE:0:COMP_POINT} words last prefix word about
    read -ra words <<<"$line"
    [[ $line == *[[:space:]] ]] && words+=("")
    last=${words[${#words[@]} - 1]}
    # Words end at colons and equals signs for bash: what is before the last one stays.
    prefix=${last%"${last##*[:=]}"}
    COMPREPLY=()
    while IFS=$'\t' read -r word about; do
        case $word in
            :files) compopt -o default 2>/dev/null ;;
            *) COMPREPLY+=("${word#"$prefix"}") ;;
        esac
    done < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null)
}
complete -F _NAME NAME

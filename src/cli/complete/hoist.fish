# Completion of NAME for fish, which asks the program.
function __NAME_complete
    set -l current (commandline -ct)
    set -l words (commandline -opc)
    for line in (command $words[1] __complete $words[2..-1] "$current" 2>/dev/null)
        if test "$line" = :files
            __fish_complete_path "$current"
        else
            echo $line
        end
    end
end
complete -c NAME -f -a '(__NAME_complete)'

# Runs the lines of a file that begin with `$ docker`, each as it stands there, and tells what came of it: standard output, standard
# error behind `E| `, and the exit code.
image=$1
lines=$2
docker() { command docker "$@" </dev/null; }
loaded=$(docker load --quiet --input "$image" 2>/dev/null)
docker tag "${loaded#Loaded image: }" demo:1.0
docker rmi "${loaded#Loaded image: }" >/dev/null
while IFS= read -r line; do
    case $line in '$ docker'*) ;; *) continue ;; esac
    printf '%s\n' "$line"
    code=0
    eval "${line#\$ }" >out 2>err || code=$?
    cat out
    sed 's/^/E| /' err
    printf '[%s]\n' "$code"
done <"$lines"

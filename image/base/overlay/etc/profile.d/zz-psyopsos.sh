# What this node runs, once for each login, and a word in the prompt while that
# is not the committed side. neuralupgrade keeps both up to date.
case $- in
*i*)
	[ ! -r /run/psyopsOS/status ] || cat /run/psyopsOS/status
	PS1='$(cat /run/psyopsOS/prompt 2>/dev/null)'"$PS1"
	;;
esac

#!/bin/sh
# Hands the credentials endpoint of this runner's ECS task to every step of the job.
#
# For ACTIONS_RUNNER_HOOK_JOB_STARTED: GitHub's runner runs this file before a job's first step, with the
# environment of the runner itself, and applies what stands in GITHUB_ENV to all steps that follow. The
# runner passes none of its own environment to a container action, so this is how a whole fleet learns of
# the endpoint without a change in any workflow. README.md beside this file says how to put it into place.
#
# It speaks only where something is amiss, it never fails a job, and it shows no value outside a mask.
# POSIX sh; of other programs it needs dd, od, tr and wc, chmod where it is there.

# A shell that was told to trace would print the values; a signal is no failure either; in the C locale, a
# character is a byte.
{ set +x; } 2>/dev/null
trap 'exit 0' HUP INT TERM
LC_ALL=C
export LC_ALL

cr=$(printf '\r')
lf='
'

# All that will be appended, one whole record after the other.
records=

main() {
  # Whoever can't hand anything on has nothing to say either.
  if [ -z "${GITHUB_ENV-}" ] || [ -h "$GITHUB_ENV" ] || [ ! -f "$GITHUB_ENV" ] || [ ! -w "$GITHUB_ENV" ]; then
    return 0
  fi
  endpoint_is_set || [ -n "${ECS_CONTAINER_METADATA_URI_V4-}" ] || return 0

  # No line of a value can end its record early, since nobody knows this word beforehand.
  delimiter=$(od -An -N16 -tx1 /dev/urandom 2>/dev/null | tr -d ' \n')
  case $delimiter in
    *[!0-9a-f]*) delimiter= ;;
  esac
  if [ "${#delimiter}" -ne 32 ]; then
    warn 'no random bytes could be read from /dev/urandom with od and tr, so no variable was handed on'
    return 0
  fi
  delimiter=ecs-task-role-$delimiter

  if endpoint_is_set; then
    hand_on_endpoint || return 0
  fi
  if [ -n "${ECS_CONTAINER_METADATA_URI_V4-}" ]; then
    if has_line_break "$ECS_CONTAINER_METADATA_URI_V4"; then
      warn 'ECS_CONTAINER_METADATA_URI_V4 holds a line break and was left out'
    else
      record ECS_CONTAINER_METADATA_URI_V4 "$ECS_CONTAINER_METADATA_URI_V4"
    fi
  fi
  append
}

endpoint_is_set() {
  [ -n "${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI-}${AWS_CONTAINER_CREDENTIALS_FULL_URI-}" ]
}

# The URI that every SDK would take, and the token that goes with it: both, or neither. Fails only where
# a mask could not be written, since then nothing may be written at all.
hand_on_endpoint() {
  if [ -n "${AWS_CONTAINER_CREDENTIALS_RELATIVE_URI-}" ]; then
    uri_name=AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
    uri=$AWS_CONTAINER_CREDENTIALS_RELATIVE_URI
  else
    uri_name=AWS_CONTAINER_CREDENTIALS_FULL_URI
    uri=$AWS_CONTAINER_CREDENTIALS_FULL_URI
  fi

  token=
  flaw=
  if [ -n "${AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE-}" ]; then
    read_token
    token_name='the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names'
  else
    token=${AWS_CONTAINER_AUTHORIZATION_TOKEN-}
    token_name=AWS_CONTAINER_AUTHORIZATION_TOKEN
  fi

  # The URI is itself the secret where no token goes with it, unless it is too short to be one.
  if [ -n "$token" ]; then
    mask "$token" || return 1
  elif [ -z "$flaw" ]; then
    path_and_query "$uri"
    if [ "${#path}" -ge 16 ]; then
      mask "$path" || return 1
    fi
  fi

  if [ -z "$flaw" ] && has_line_break "$token"; then
    flaw="$token_name holds a line break"
  fi
  if [ -z "$flaw" ] && has_line_break "$uri"; then
    flaw="$uri_name holds a line break"
  fi
  if [ -n "$flaw" ]; then
    warn "$flaw, so the credentials endpoint was not handed on"
    return 0
  fi

  record "$uri_name" "$uri"
  if [ -n "$token" ]; then
    record AWS_CONTAINER_AUTHORIZATION_TOKEN "$token"
  fi
}

# Sets `token` to the text of the token file, or `flaw` to what keeps it from being one.
read_token() {
  flaw='AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names'
  if [ ! -e "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" ]; then
    flaw="$flaw a file that is not there"
  elif [ ! -f "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" ]; then
    flaw="$flaw something that is no regular file"
  elif [ ! -r "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" ]; then
    flaw="$flaw a file that can not be read"
  elif [ ! -s "$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" ]; then
    flaw="$flaw a file that is empty"
  elif [ "$(token_file | wc -c)" -gt 16384 ]; then
    flaw="$flaw a file of more than 16 KiB"
  else
    # The dot keeps line breaks at the end, which the shell would take off. What is shorter than its
    # file lost a NUL, which no variable can hold and of which bash complains.
    { token=$(token_file && printf .); } 2>/dev/null
    token=${token%.}
    if [ "${#token}" -ne "$(token_file | wc -c)" ] || [ -z "$token" ]; then
      flaw="$flaw a file that can not be read as text"
      token=
    else
      flaw=
    fi
  fi
}

token_file() {
  dd if="$AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE" bs=16385 count=1 2>/dev/null
}

# Sets `path` to all that follows the host, as it stands there, but for a fragment, which is never sent.
path_and_query() {
  path=${1%%#*}
  case $path in
    [!/]*://*)
      path=${path#*://}
      case $path in
        *[/?]*) path=${path#"${path%%[/?]*}"} ;;
        *) path= ;;
      esac
      ;;
  esac
}

has_line_break() {
  case $1 in
    *"$cr"* | *"$lf"*) return 0 ;;
  esac
  return 1
}

# `::add-mask::`, of which only `%`, CR and LF need an escape. White space alone is no secret, and the
# runner would warn of it.
mask() {
  case $1 in
    *[![:space:]]*) ;;
    *) return 0 ;;
  esac
  replace "$1" % %25
  replace "$replaced" "$cr" %0D
  replace "$replaced" "$lf" %0A
  printf '::add-mask::%s\n' "$replaced"
}

# Sets `replaced` to the first argument with the third in the place of each of the second.
replace() {
  replaced=
  rest=$1
  while :; do
    case $rest in
      *"$2"*)
        replaced=$replaced${rest%%"$2"*}$3
        rest=${rest#*"$2"}
        ;;
      *) break ;;
    esac
  done
  replaced=$replaced$rest
}

# Names and sentences of this file alone: nothing here needs an escape.
warn() {
  printf '::warning title=ecs-task-role job-started hook::%s\n' "$1"
}

record() {
  records=$records$1'<<'$delimiter$lf$2$lf$delimiter$lf
}

# Adds the records to GITHUB_ENV as a whole, or not at all: half a record would fail the job.
append() {
  [ -n "$records" ] || return 0
  # Neighbours with the same mount need not read what stands there.
  chmod go= "$GITHUB_ENV" 2>/dev/null || :
  before=$(wc -c <"$GITHUB_ENV") || return 0
  # Whoever wrote there before may have left the last line open, and an empty one is skipped.
  if [ "$before" -gt 0 ]; then
    records=$lf$records
  fi
  # A shell may write them in pieces: no signal may come before the last one, or before all are taken back.
  trap '' HUP INT TERM
  if ! printf '%s' "$records" 2>/dev/null >>"$GITHUB_ENV"; then
    dd if=/dev/null of="$GITHUB_ENV" bs=1 seek="$((before))" count=0 2>/dev/null || :
    warn 'GITHUB_ENV could not be written, so no variable was handed on'
  fi
}

main || :
exit 0

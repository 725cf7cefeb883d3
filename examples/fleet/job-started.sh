#!/bin/bash
# Runs on the runner before the first step of each job (ACTIONS_RUNNER_HOOK_JOB_STARTED), and asks the ECS agent
# not to stop this task while the job runs: neither when the service scales in nor when it is deployed anew.
# The runner ends with its job, so nothing has to take the protection back. Never fails a job.
#
# Needs ecs:UpdateTaskProtection in the task role.
minutes=${JOB_PROTECTION_MINUTES:-360}
answer=$(curl --silent --max-time 5 --noproxy '*' --request PUT --header 'Content-Type: application/json' \
  --data "{\"ProtectionEnabled\":true,\"ExpiresInMinutes\":$minutes}" \
  "${ECS_AGENT_URI:-}/task-protection/v1/state" 2>/dev/null) || true # the runner runs hooks with bash -e
# The agent answers a refusal with 200 too.
if [[ $answer != *'"ProtectionEnabled":true'* ]]; then
  echo '::warning title=This runner is not protected::the service may stop it in the middle of the job'
fi

# One hook is all that a runner has: where the hook that hands on the credentials endpoint (hooks/job-started.sh)
# was put beside this one, it runs now.
next=${BASH_SOURCE[0]%/*}/hand-on-endpoint.sh
if [[ -f $next ]]; then
  sh "$next" || true
fi
exit 0

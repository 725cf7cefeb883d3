#!/bin/bash
# Tells CloudWatch how many runners this instance has, and how many of them run a job:
# report-busy.sh NAMESPACE SERVICE
#
# A runner is one process Runner.Listener; while a job runs, it has one child Runner.Worker. The containers'
# processes are in sight here, on the host. The service scales on the sum over all instances.
set -euo pipefail

namespace=${1:?the metrics namespace} service=${2:?the name of the service}
# pgrep ends with 1 where it counts none.
runners=$(pgrep --count --exact 'Runner\.Listener' || true)
busy=$(pgrep --count --exact 'Runner\.Worker' || true)

aws cloudwatch put-metric-data --namespace "$namespace" --metric-data \
  "MetricName=Runners,Dimensions=[{Name=Service,Value=$service}],Value=$runners,Unit=Count" \
  "MetricName=BusyRunners,Dimensions=[{Name=Service,Value=$service}],Value=$busy,Unit=Count"

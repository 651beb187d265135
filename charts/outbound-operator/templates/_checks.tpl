{{/*
What values.schema.json can't say, because it is about two values, or because the message must say what to do.
Included once, by the Deployment.
*/}}
{{- define "outbound-operator.checks" -}}
{{- $values := .Values -}}
{{- if not $values.image.repository -}}
{{- fail "image.repository: push the image that `make image` makes to your registry, and name it here" -}}
{{- end -}}
{{- if and (gt (int $values.replicas) 1) (not (dig "leaderElection" "enabled" true $values.config)) -}}
{{- fail "replicas: more than one needs the Lease; leave config.leaderElection.enabled out" -}}
{{- end -}}
{{- if hasKey $values.config "http" -}}
{{- fail "config.http: the chart sets it; http.port is the port" -}}
{{- end -}}
{{- if and $values.aws.irsa.roleArn $values.aws.podIdentity.enabled -}}
{{- fail "aws: irsa.roleArn and podIdentity.enabled are two ways to one identity; choose one" -}}
{{- end -}}
{{- if and $values.serviceMonitor.enabled $values.networkPolicy.enabled (not $values.networkPolicy.metricsFrom) -}}
{{- fail "serviceMonitor.enabled: name Prometheus's pods in networkPolicy.metricsFrom, or it can't read /metrics" -}}
{{- end -}}
{{- include "outbound-operator.checkVolume" . -}}
{{- include "outbound-operator.checkMemory" . -}}
{{- include "outbound-operator.checkNetworks" . -}}
{{- end -}}

{{- define "outbound-operator.checkVolume" -}}
{{- with .Values.volume -}}
{{- if and .existingClaim (not .accessMode) -}}
{{- fail "volume.accessMode: name the access mode of the claim in volume.existingClaim; it decides how many replicas can mount it" -}}
{{- end -}}
{{- if and .existingClaim (eq (include "outbound-operator.oneNode" $) "true") (gt (int $.Values.replicas) 1) -}}
{{- fail (printf "replicas: a %s volume can't be mounted by %d pods; use a ReadWriteMany or ReadOnlyMany claim, or one replica" .accessMode (int $.Values.replicas)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Whether the volume holds the operator to one pod at a time. */}}
{{- define "outbound-operator.oneNode" -}}
{{- and (ne .Values.volume.existingClaim "") (hasPrefix "ReadWriteOnce" .Values.volume.accessMode) -}}
{{- end -}}

{{/*
128 MiB beside the part buffers: a debug build, measured, needs up to 96 MiB beside them (tests/faults holds that);
the rest is for the metrics and for destinations' and deliveries' copies in memory.
*/}}
{{- define "outbound-operator.checkMemory" -}}
{{- $limit := dig "limits" "memory" "" .Values.resources -}}
{{- if $limit -}}
{{- $memory := dig "transfer" "memory" "64Mi" .Values.config -}}
{{- $needed := add (include "outbound-operator.bytes" (dict "name" "config.transfer.memory" "quantity" $memory) | int64) 134217728 -}}
{{- if lt (include "outbound-operator.bytes" (dict "name" "resources.limits.memory" "quantity" $limit) | int64) $needed -}}
{{- fail (printf "resources.limits.memory: %v doesn't hold config.transfer.memory (%v) and 128Mi on top; raise it to %dMi or more" $limit $memory (div (add $needed 1048575) 1048576)) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* A network that lies within the link-local ones would open the metadata service. */}}
{{- define "outbound-operator.checkNetworks" -}}
{{- range concat .Values.networkPolicy.stores.cidrs .Values.networkPolicy.apiServer.cidrs -}}
{{- if or (hasPrefix "169.254." .) (hasPrefix "fd00:ec2:" .) (hasPrefix "fe80:" .) -}}
{{- fail (printf "networkPolicy: %s is where nodes' metadata services are; name the stores' own networks" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

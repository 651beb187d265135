{{/* The operator's configuration: `config`, and what follows from the chart's other values. */}}
{{- define "outbound-operator.config" -}}
{{- $lease := dict "leaseName" (include "outbound-operator.fullname" .) "namespace" .Release.Namespace -}}
{{- $http := dict "listen" (printf "%s:%d" .Values.http.host (int .Values.http.port)) -}}
{{- $added := dict "http" $http "leaderElection" $lease -}}
{{- mergeOverwrite $added (deepCopy .Values.config) | toYaml -}}
{{- end -}}

{{- define "outbound-operator.volumeRoot" -}}
{{ dig "volume" "root" "/exports" .Values.config }}
{{- end -}}

{{/* Bytes of `quantity`, rounded down; fails with its name when it is none. */}}
{{- define "outbound-operator.bytes" -}}
{{- $text := .quantity | toString -}}
{{- if kindIs "float64" .quantity }}{{ $text = .quantity | int64 | toString }}{{ end -}}
{{- if not (regexMatch "^[0-9]+(\\.[0-9]+)?(k|M|G|T|Ki|Mi|Gi|Ti)?$" $text) -}}
{{- fail (printf "%s: %q is no quantity of bytes; write it like 256Mi" .name $text) -}}
{{- end -}}
{{- $scales := dict "" 1 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 -}}
{{- $suffix := regexFind "[kMGTi]*$" $text -}}
{{- mulf (trimSuffix $suffix $text | float64) (get $scales $suffix | float64) | floor | int64 -}}
{{- end -}}

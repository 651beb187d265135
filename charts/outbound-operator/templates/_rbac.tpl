{{- define "outbound-operator.subjects" -}}
- kind: ServiceAccount
  name: {{ include "outbound-operator.serviceAccountName" . }}
  namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* What the operator does in the namespaces that it watches, and no more. tests/e2e/rbac.rs proves that it is enough. */}}
{{- define "outbound-operator.rules" -}}
- apiGroups: [outbound.dev]
  resources: [outbounddestinations]
  verbs: [list, watch]
# get and patch: the finalizer that a delivery has while an upload may be open. delete: ttlSecondsAfterFinished.
- apiGroups: [outbound.dev]
  resources: [outbounddeliveries]
  verbs: [get, list, watch, patch, delete]
- apiGroups: [outbound.dev]
  resources: [outbounddestinations/status, outbounddeliveries/status]
  verbs: [patch]
# What a restarted operator goes on from. Nobody else has it: it says what counts as delivered. patch: the same
# finalizer. list: whose an upload is that a crash left.
- apiGroups: [outbound.dev]
  resources: [outboundledgers]
  verbs: [get, list, create, update, patch, delete]
# By name, those that destinations name. `secrets: Watch` asks for all of them.
- apiGroups: [""]
  resources: [secrets]
  verbs: [{{ if eq (dig "secrets" "Get" .Values.config) "Watch" }}get, list, watch{{ else }}get{{ end }}]
# By name, those that `caBundleRef` names.
- apiGroups: [""]
  resources: [configmaps]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

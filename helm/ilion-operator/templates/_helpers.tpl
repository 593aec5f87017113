{{- define "ilion-operator.name" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 53 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 53 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "ilion-operator.selector" -}}
app.kubernetes.io/name: ilion-operator
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "ilion-operator.labels" -}}
{{ include "ilion-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "ilion-operator.account" -}}
{{- .Values.serviceAccount.name | default (ternary (include "ilion-operator.name" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{/* What it does in the namespaces of clusters. */}}
{{- define "ilion-operator.rules" -}}
- apiGroups: [ilion.dev]
  resources: [datacenterclusters]
  verbs: [get, list, watch]
- apiGroups: [ilion.dev]
  resources: [databasenodes]
  verbs: [get, list, watch, create, delete]
- apiGroups: [ilion.dev]
  resources: [datacenterclusters/status, databasenodes/status]
  verbs: [patch]
- apiGroups: ['']
  resources: [pods]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: ['']
  resources: [persistentvolumeclaims]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: ['']
  resources: [services]
  verbs: [get, list, watch, create, patch]
- apiGroups: ['']
  resources: [secrets]
  verbs: [get, list, create, update]
# For clusters with tls.mode CertManager.
- apiGroups: [cert-manager.io]
  resources: [certificates]
  verbs: [list, create, patch]
- apiGroups: [cert-manager.io]
  resources: [issuers]
  verbs: [get]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
{{- end -}}
